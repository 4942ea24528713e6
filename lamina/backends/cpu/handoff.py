"""How a run is handed to the worker threads: a few functions of machine code around a desk for each worker.

A worker that has done its part looks at its desk for a short while before it goes to sleep in Python. What
lies on the desk by then it begins at once, where waking it would take longer than many a prediction does. It
looks politely: with pauses, gives its processor away now and then - and says so, so that nobody counts on it
meanwhile - and for a fraction of a millisecond only.

    i64 hurry(pool, program, context, threads)   run on all threads if the workers are looking; see `Answer`
    i64 post(pool, program, context, threads)    put it on the desks of workers in any state; 0 if taken
    void finish(pool, program, context, threads) the caller's part of what was posted, and wait for the rest
    void rouse(pool, threads)                    mark the workers that sleep, for somebody to wake
    void serve(desk, turns, yield)               a worker: look at the desk for so many turns
    void rest(turns)                             nothing but the pauses of so many turns

What `post` and `rouse` mark in `Desk.WOKEN` is to be woken by the caller. Source: two-phase waiting, Karlin,
Li, Manasse and Owicki (1991).
"""

from __future__ import annotations

from lamina.backends.cpu import barrier
from lamina.backends.cpu.context import Answer, Desk, PoolRecord, State
from lamina.backends.cpu.emit import Module
from lamina.backends.cpu.target import Target

PAUSES = 1024  # turns after which a looking worker gives its processor away, some ten microseconds


def text(target: Target) -> str:
    """The functions as LLVM text."""
    module = Module(target.function_attributes)
    pause = barrier.pause(module, target)
    for name, body in (
        ("rest", _REST), ("serve", _SERVE), ("hurry", _HURRY), ("post", _POST), ("finish", _FINISH),
        ("rouse", _ROUSE),
    ):  # fmt: skip
        names = {f"{kind.__name__}_{entry.name}": str(entry.value) for kind in _NAMES for entry in kind}
        for word, value in {"PAUSES": str(PAUSES), "SPINS": str(barrier.SPINS), "PAUSE": pause}.items():
            names[word] = value
        for word in sorted(names, key=len, reverse=True):
            body = body.replace(f"${word}", names[word])
        module.functions[name] = body
    return module.text()


_NAMES = (Answer, State, Desk, PoolRecord)

_REST = """define void @rest(i64 %turns) #0 {
entry:
  br label %look
look:
  %turn = phi i64 [ 0, %entry ], [ %next, %look ]
  $PAUSE
  %next = add i64 %turn, 1
  %more = icmp slt i64 %next, %turns
  br i1 %more, label %look, label %done
done:
  ret void
}
"""

_SERVE = """define void @serve(ptr %desk, i64 %turns, ptr %yield) #0 {
entry:
  %woken = cmpxchg ptr %desk, i64 $State_WAKING, i64 $State_READY acq_rel monotonic
  br label %look
look:
  %turn = phi i64 [ 0, %entry ], [ 0, %work ], [ %next, %idle ], [ %next, %leave ], [ %next, %stay ]
  %state = load atomic i64, ptr %desk acquire, align 8
  %posted = icmp eq i64 %state, $State_POSTED
  br i1 %posted, label %work, label %idle
work:
  %program_at = getelementptr i64, ptr %desk, i64 $Desk_PROGRAM
  %program = load ptr, ptr %program_at, align 8
  %context_at = getelementptr i64, ptr %desk, i64 $Desk_CONTEXT
  %context = load ptr, ptr %context_at, align 8
  %number_at = getelementptr i64, ptr %desk, i64 $Desk_NUMBER
  %number = load i64, ptr %number_at, align 8
  %threads_at = getelementptr i64, ptr %desk, i64 $Desk_THREADS
  %threads = load i64, ptr %threads_at, align 8
  call void %program(ptr %context, i64 %number, i64 %threads)
  store atomic i64 $State_READY, ptr %desk release, align 8
  br label %look
idle:
  $PAUSE
  %next = add i64 %turn, 1
  %place = urem i64 %next, $PAUSES
  %patient = icmp eq i64 %place, 0
  br i1 %patient, label %turned, label %look
turned:
  %ended = icmp sge i64 %next, %turns
  br i1 %ended, label %leave, label %give
leave:
  %left = cmpxchg ptr %desk, i64 $State_READY, i64 $State_ASLEEP acq_rel monotonic
  %asleep = extractvalue { i64, i1 } %left, 1
  br i1 %asleep, label %out, label %look
give:
  %gone = cmpxchg ptr %desk, i64 $State_READY, i64 $State_AWAY acq_rel monotonic
  %away = extractvalue { i64, i1 } %gone, 1
  br i1 %away, label %yielding, label %stay
yielding:
  %ignored = call i32 %yield()
  %back = cmpxchg ptr %desk, i64 $State_AWAY, i64 $State_READY acq_rel monotonic
  br label %stay
stay:
  br label %look
out:
  ret void
}
"""

# The caller's part and the end of a run: waits until no desk has it any more, and lets the next run begin.
_FINISH = """define void @finish(ptr %pool, ptr %program, ptr %context, i64 %threads) #0 {
entry:
  %table = load ptr, ptr %pool, align 8
  %yield_at = getelementptr i64, ptr %pool, i64 $PoolRecord_YIELD
  %yield = load ptr, ptr %yield_at, align 8
  call void %program(ptr %context, i64 0, i64 %threads)
  %workers = sub i64 %threads, 1
  br label %workers_left
workers_left:
  %worker = phi i64 [ 0, %entry ], [ %following, %ready ]
  %left = icmp slt i64 %worker, %workers
  br i1 %left, label %join, label %done
join:
  %desk_at = getelementptr ptr, ptr %table, i64 %worker
  %desk = load ptr, ptr %desk_at, align 8
  br label %look
look:
  %turn = phi i64 [ 0, %join ], [ %next, %pause ], [ %next, %patient ]
  %state = load atomic i64, ptr %desk acquire, align 8
  %posted = icmp eq i64 %state, $State_POSTED
  br i1 %posted, label %wait, label %ready
wait:
  %next = add i64 %turn, 1
  %eager = icmp slt i64 %turn, $SPINS
  br i1 %eager, label %pause, label %patient
pause:
  $PAUSE
  br label %look
patient:
  %ignored = call i32 %yield()
  br label %look
ready:
  %following = add i64 %worker, 1
  br label %workers_left
done:
  %busy = getelementptr i64, ptr %pool, i64 $PoolRecord_BUSY
  store atomic i64 0, ptr %busy release, align 8
  ret void
}
"""

_HURRY = """define i64 @hurry(ptr %pool, ptr %program, ptr %context, i64 %threads) #0 {
entry:
  %table = load ptr, ptr %pool, align 8
  %busy = getelementptr i64, ptr %pool, i64 $PoolRecord_BUSY
  %took = cmpxchg ptr %busy, i64 0, i64 1 acq_rel monotonic
  %mine = extractvalue { i64, i1 } %took, 1
  %workers = sub i64 %threads, 1
  br i1 %mine, label %holding, label %taken
taken:
  ret i64 $Answer_TAKEN
holding:
  %worker = phi i64 [ 0, %entry ], [ %following, %hold ]
  %left = icmp slt i64 %worker, %workers
  br i1 %left, label %hold, label %posting
hold:
  %desk_at = getelementptr ptr, ptr %table, i64 %worker
  %desk = load ptr, ptr %desk_at, align 8
  %held = cmpxchg ptr %desk, i64 $State_READY, i64 $State_HELD acq_rel monotonic
  %ready = extractvalue { i64, i1 } %held, 1
  %following = add i64 %worker, 1
  br i1 %ready, label %holding, label %letting_go
letting_go:
  %last = phi i64 [ %worker, %hold ], [ %previous, %let_go ]
  %more = icmp sgt i64 %last, 0
  br i1 %more, label %let_go, label %away
let_go:
  %previous = sub i64 %last, 1
  %held_at = getelementptr ptr, ptr %table, i64 %previous
  %held_desk = load ptr, ptr %held_at, align 8
  store atomic i64 $State_READY, ptr %held_desk release, align 8
  br label %letting_go
away:
  store atomic i64 0, ptr %busy release, align 8
  ret i64 $Answer_AWAY
posting:
  %next = phi i64 [ 0, %holding ], [ %next_one, %lay ]
  %unposted = icmp slt i64 %next, %workers
  br i1 %unposted, label %lay, label %run
lay:
  %lay_at = getelementptr ptr, ptr %table, i64 %next
  %lay_desk = load ptr, ptr %lay_at, align 8
  %program_at = getelementptr i64, ptr %lay_desk, i64 $Desk_PROGRAM
  store ptr %program, ptr %program_at, align 8
  %context_at = getelementptr i64, ptr %lay_desk, i64 $Desk_CONTEXT
  store ptr %context, ptr %context_at, align 8
  %threads_at = getelementptr i64, ptr %lay_desk, i64 $Desk_THREADS
  store i64 %threads, ptr %threads_at, align 8
  store atomic i64 $State_POSTED, ptr %lay_desk release, align 8
  %next_one = add i64 %next, 1
  br label %posting
run:
  call void @finish(ptr %pool, ptr %program, ptr %context, i64 %threads)
  ret i64 $Answer_DONE
}
"""

_POST = """define i64 @post(ptr %pool, ptr %program, ptr %context, i64 %threads) #0 {
entry:
  %table = load ptr, ptr %pool, align 8
  %busy = getelementptr i64, ptr %pool, i64 $PoolRecord_BUSY
  %took = cmpxchg ptr %busy, i64 0, i64 1 acq_rel monotonic
  %mine = extractvalue { i64, i1 } %took, 1
  %workers = sub i64 %threads, 1
  br i1 %mine, label %posting, label %taken
taken:
  ret i64 0
posting:
  %worker = phi i64 [ 0, %entry ], [ %following, %lay ]
  %left = icmp slt i64 %worker, %workers
  br i1 %left, label %lay, label %posted
lay:
  %desk_at = getelementptr ptr, ptr %table, i64 %worker
  %desk = load ptr, ptr %desk_at, align 8
  %program_at = getelementptr i64, ptr %desk, i64 $Desk_PROGRAM
  store ptr %program, ptr %program_at, align 8
  %context_at = getelementptr i64, ptr %desk, i64 $Desk_CONTEXT
  store ptr %context, ptr %context_at, align 8
  %threads_at = getelementptr i64, ptr %desk, i64 $Desk_THREADS
  store i64 %threads, ptr %threads_at, align 8
  %before = atomicrmw xchg ptr %desk, i64 $State_POSTED acq_rel
  %slept = icmp eq i64 %before, $State_ASLEEP
  %woken = zext i1 %slept to i64
  %woken_at = getelementptr i64, ptr %desk, i64 $Desk_WOKEN
  store i64 %woken, ptr %woken_at, align 8
  %following = add i64 %worker, 1
  br label %posting
posted:
  ret i64 1
}
"""

_ROUSE = """define void @rouse(ptr %pool, i64 %threads) #0 {
entry:
  %table = load ptr, ptr %pool, align 8
  %workers = sub i64 %threads, 1
  br label %rousing
rousing:
  %worker = phi i64 [ 0, %entry ], [ %following, %mark ]
  %left = icmp slt i64 %worker, %workers
  br i1 %left, label %mark, label %done
mark:
  %desk_at = getelementptr ptr, ptr %table, i64 %worker
  %desk = load ptr, ptr %desk_at, align 8
  %before = cmpxchg ptr %desk, i64 $State_ASLEEP, i64 $State_WAKING acq_rel monotonic
  %slept = extractvalue { i64, i1 } %before, 1
  %woken = zext i1 %slept to i64
  %woken_at = getelementptr i64, ptr %desk, i64 $Desk_WOKEN
  store i64 %woken, ptr %woken_at, align 8
  %following = add i64 %worker, 1
  br label %rousing
done:
  ret void
}
"""
