"""Readers beside a writer: every prediction sees the state after some whole step."""

import threading

import pytest
from robust_models import assert_whole_state, counting_data, counting_model, steps_seen

from lamina.backends.cpu import executable
from lamina.callbacks import LambdaCallback
from lamina.core.config import config


class Reader(threading.Thread):
    """Calls `look` until told to stop; keeps what it saw, and the first error."""

    def __init__(self, look):
        super().__init__()
        self.look = look
        self.seen = []
        self.error = None
        self.stop = threading.Event()

    def run(self):
        try:
            while not self.stop.is_set():
                self.seen.append(self.look())
        except BaseException as error:
            self.error = error


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def threads(request, monkeypatch):
    """Steps and predictions are shared between that many threads, although they are small."""
    monkeypatch.setattr(executable, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0.0)
    monkeypatch.setitem(vars(config), "num_threads", request.param)


@pytest.mark.usefixtures("threads")
def test_predictions_during_fit_see_whole_states_that_go_forward():
    model = counting_model()
    x, y = counting_data()
    few = [x[:1], x[:3], x[:40]]
    for rows in few:
        model.predict(rows, verbose=0)
    readers = [Reader(lambda rows=rows: steps_seen(model.predict(rows, verbose=0))) for rows in few]
    readers.append(Reader(lambda: steps_seen(model.predict_on_batch(x[:7]))))

    def stop_when_seen(epoch, logs):
        different = {steps for reader in readers for steps in reader.seen[-100:]}
        looked = all(len(reader.seen) >= 30 for reader in readers) and len(different) > 3
        model.stop_training = looked or any(reader.error for reader in readers)

    for reader in readers:
        reader.start()
    try:
        model.fit(
            x,
            y,
            batch_size=16,
            epochs=4000,
            verbose=0,
            callbacks=[LambdaCallback(on_epoch_end=stop_when_seen)],
        )
    finally:
        for reader in readers:
            reader.stop.set()
            reader.join()
    assert [reader.error for reader in readers] == [None] * len(readers)
    done = assert_whole_state(model)
    for reader in readers:
        assert reader.seen == sorted(reader.seen)
        assert reader.seen[-1] <= done
    assert len({steps for reader in readers for steps in reader.seen}) > 3


def test_the_writer_is_not_starved_by_readers():
    model = counting_model()
    x, y = counting_data(rows=256)
    model.fit(x, y, batch_size=32, verbose=0)
    model.predict(x[:2], verbose=0)
    readers = [Reader(lambda: steps_seen(model.predict(x[:2], verbose=0))) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        trainer = threading.Thread(target=model.fit, args=(x, y), kwargs={"epochs": 50, "verbose": 0})
        trainer.start()
        trainer.join(30)
        assert not trainer.is_alive(), "training hangs"
    finally:
        for reader in readers:
            reader.stop.set()
            reader.join()
    assert [reader.error for reader in readers] == [None] * 4
    assert assert_whole_state(model) == 8 + 50 * 8


def test_two_models_train_at_the_same_time():
    models, (x, y) = [counting_model(), counting_model()], counting_data()
    expected = [320, 640]
    trainers = [
        threading.Thread(target=model.fit, args=(x, y), kwargs={"epochs": epochs, "verbose": 0})
        for model, epochs in zip(models, (10, 20))
    ]
    for trainer in trainers:
        trainer.start()
    for trainer in trainers:
        trainer.join()
    assert [assert_whole_state(model) for model in models] == expected
