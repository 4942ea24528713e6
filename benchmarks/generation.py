"""Writing with a small GPT, token by token, against Keras on JAX as its users do it.

python -m benchmarks.generation [--quick]. The network of `benchmarks.transformer` (4 layers, width 192, 1000
words) goes on after 8 tokens up to its 256 positions, at temperature 0.8 among the best 20. Lamina:
`lamina.generate`. Keras has no generation of its own: "keras_jax" calls `predict` on the whole context for
each token, as Keras' examples do; "keras_jit" does all that can be done without writing a cache, one jitted
function from the context to the context with a token more.
"""

from __future__ import annotations

from benchmarks.harness import OURS, Figure, compare, conclude, is_quick, show

TITLE = "small GPT, 248 tokens after a prompt of 8"
TASK = {"transformer": "gpt", "length": 256, "prompt": 8, "generate": True}
PEERS = ("keras_jit", "keras_jax")
AT_LEAST = 5.0


def main() -> None:
    result = compare(TASK, [OURS, *PEERS], 1 if is_quick() else 5, "token")
    show(TITLE, result)
    figures = [
        Figure(f"{TITLE}: speed, of {name}'s", result.median(name) / result.median(OURS), AT_LEAST, "x", True)
        for name in PEERS
        if name in result.times
    ]
    figures.append(Figure(f"{TITLE}: tokens a second", 1 / result.median(OURS), 1000, "", True))
    conclude("generation", figures, {TITLE: result})


if __name__ == "__main__":
    main()
