"""Rows of the recurrent layers."""

from __future__ import annotations

from layer_row import Row


def inside(*path):
    """The weights of a recurrent cell in the layers of `path`."""
    return tuple("/".join((*path, name)) for name in ("kernel", "recurrent_kernel", "bias"))


SEQUENCE_ROWS = [
    Row("simple_rnn", lambda L: L.SimpleRNN(2), ((3, 4, 5),), (3, 2), inside("simple_rnn_cell"), seeds=1),
    Row(
        "lstm_sequences",
        lambda L: L.LSTM(2, return_sequences=True),
        ((3, 4, 5),),
        (3, 4, 2),
        inside("lstm_cell"),
        seeds=1,
    ),
    Row(
        "gru_dropout",
        lambda L: L.GRU(2, dropout=0.4, recurrent_dropout=0.4, seed=4),
        ((3, 4, 5),),
        (3, 2),
        inside("gru_cell"),
        seeds=1,
        random=True,
    ),
    Row("rnn", lambda L: L.RNN(L.GRUCell(2, name="g")), ((3, 4, 5),), (3, 2), inside("g"), seeds=1),
    Row(
        "rnn_stacked",
        lambda L: L.RNN(L.StackedRNNCells([L.LSTMCell(2, name="a"), L.GRUCell(3, name="b")], name="s")),
        ((3, 4, 5),),
        (3, 3),
        (*inside("s", "a"), *inside("s", "b")),
        seeds=2,
    ),
    Row(
        "bidirectional",
        lambda L: L.Bidirectional(L.LSTM(2, name="r")),
        ((3, 4, 5),),
        (3, 4),
        (*inside("forward_r", "lstm_cell"), *inside("backward_r", "lstm_cell")),
        seeds=2,
    ),
    Row(
        "time_distributed",
        lambda L: L.TimeDistributed(L.Dense(2, name="d")),
        ((3, 4, 5),),
        (3, 4, 2),
        ("d/kernel", "d/bias"),
    ),
    *(
        Row(
            f"conv_lstm_{rank}d",
            lambda L, rank=rank: getattr(L, f"ConvLSTM{rank}D")(2, 2, padding="same"),
            ((2, 3, *(4, 3, 2)[:rank], 1),),
            (2, *(4, 3, 2)[:rank], 2),
            inside("conv_lstm_cell"),
            seeds=1,
        )
        for rank in (1, 2, 3)
    ),
    Row(
        "stft_spectrogram",
        lambda L: L.STFTSpectrogram("magnitude", frame_length=8, window="hamming"),
        ((2, 32, 3),),
        (2, 7, 15),
        ("real_kernel", "imag_kernel"),
    ),
    Row(
        "mel_spectrogram",
        lambda L: L.MelSpectrogram(32, 8, num_mel_bins=6, min_freq=100.0, power_to_db=False),
        ((2, 64),),
        (2, 6, 9),
    ),
]
