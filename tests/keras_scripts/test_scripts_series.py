"""Scripts for text and time series as they are written for Keras: they must do the same with Lamina."""

import numpy as np
import pytest
from keras_script import compare, fill, history_of


def sentences(rows=12, length=9, words=30, seed=0):
    """Numbers of words, filled up with zeros, and a class for each sentence."""
    random = np.random.default_rng(seed)
    x = random.integers(1, words, (rows, length))
    for row, count in enumerate(random.integers(3, length + 1, rows)):
        x[row, count:] = 0
    return x, np.arange(rows) % 2


def trained(model, x, y, loss="mse", **arguments):
    model.compile(loss=loss, **{"optimizer": "sgd", **arguments})
    return history_of(model.fit(x, y, epochs=2, batch_size=6, shuffle=False, verbose=0))


def sentiment(keras):
    layers = keras.layers
    x, y = sentences()
    inputs = keras.Input(shape=(None,), dtype="int32")
    hidden = layers.Embedding(30, 8, mask_zero=True)(inputs)
    hidden = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(hidden)
    hidden = layers.Bidirectional(layers.LSTM(6))(hidden)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    fill(model)
    history = trained(model, x, y, "binary_crossentropy", metrics=["accuracy"])
    return {"history": history, "long": model.predict(np.tile(x, 2), verbose=0)}


def text_classifier(keras):
    """Words and places embedded, one block of attention."""
    layers, ops = keras.layers, keras.ops

    class TransformerBlock(layers.Layer):
        def __init__(self, embed_dim, num_heads, ff_dim, rate=0.0):
            super().__init__()
            self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
            self.ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
            self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
            self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
            self.dropout1 = layers.Dropout(rate)
            self.dropout2 = layers.Dropout(rate)

        def call(self, inputs):
            attn_output = self.dropout1(self.att(inputs, inputs))
            out1 = self.layernorm1(inputs + attn_output)
            ffn_output = self.dropout2(self.ffn(out1))
            return self.layernorm2(out1 + ffn_output)

    class TokenAndPositionEmbedding(layers.Layer):
        def __init__(self, maxlen, vocab_size, embed_dim):
            super().__init__()
            self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
            self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

        def call(self, x):
            maxlen = ops.shape(x)[-1]
            positions = ops.arange(start=0, stop=maxlen, step=1)
            return self.token_emb(x) + self.pos_emb(positions)

    x, y = sentences()
    inputs = layers.Input(shape=(9,))
    hidden = TokenAndPositionEmbedding(9, 30, 8)(inputs)
    hidden = TransformerBlock(8, 2, 16)(hidden)
    hidden = layers.Dropout(0.0)(layers.GlobalAveragePooling1D()(hidden))
    outputs = layers.Dense(2, activation="softmax")(layers.Dense(20, activation="relu")(hidden))
    model = keras.Model(inputs=inputs, outputs=outputs)
    fill(model)
    history = trained(model, x, y, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return {"history": history, "predictions": model.predict(x, verbose=0)}


def translation(keras):
    """Encoder and decoder with their states, then decoding one word at a time with the same layers."""
    layers = keras.layers
    random = np.random.default_rng(1)
    source = np.eye(7, dtype="float32")[random.integers(0, 7, (6, 5))]
    target = np.eye(8, dtype="float32")[random.integers(0, 8, (6, 6))]
    after = np.roll(target, -1, axis=1)

    encoder_inputs = keras.Input(shape=(None, 7))
    encoder = layers.LSTM(10, return_state=True)
    _, state_h, state_c = encoder(encoder_inputs)
    decoder_inputs = keras.Input(shape=(None, 8))
    decoder_lstm = layers.LSTM(10, return_sequences=True, return_state=True)
    decoder_outputs, _, _ = decoder_lstm(decoder_inputs, initial_state=[state_h, state_c])
    decoder_dense = layers.Dense(8, activation="softmax")
    model = keras.Model([encoder_inputs, decoder_inputs], decoder_dense(decoder_outputs))
    fill(model)
    history = trained(model, [source, target], after, "categorical_crossentropy", metrics=["accuracy"])

    encoder_model = keras.Model(encoder_inputs, [state_h, state_c])
    given = [keras.Input(shape=(10,)), keras.Input(shape=(10,))]
    outputs, state_h, state_c = decoder_lstm(decoder_inputs, initial_state=given)
    decoder_model = keras.Model([decoder_inputs, *given], [decoder_dense(outputs), state_h, state_c])
    states = encoder_model.predict(source[:1], verbose=0)
    word, found = np.eye(8, dtype="float32")[None, :1], []
    for _ in range(5):
        scores, *states = decoder_model.predict([word, *states], verbose=0)
        found.append(scores[0, -1])
        word = np.eye(8, dtype="float32")[None, None, np.argmax(scores[0, -1])]
    return {"history": history, "scores": found}


def forecast(keras):
    layers = keras.layers
    wave = np.sin(np.arange(80) / 5).astype("float32")[:, None]
    x, y = np.stack([wave[start : start + 10] for start in range(60)]), wave[10:70]
    model = keras.Sequential(
        [
            keras.Input((10, 1)),
            layers.Conv1D(4, 3, activation="relu"),
            layers.GRU(6, return_sequences=True, recurrent_dropout=0.0),
            layers.GRU(5, reset_after=False, go_backwards=True),
            layers.Dense(1),
        ]
    )
    fill(model)
    history = trained(
        model, x, y, keras.losses.Huber(), metrics=["mae", keras.metrics.RootMeanSquaredError()]
    )
    return {"history": history, "predictions": model.predict(x[:4], verbose=0)}


def cells_of_a_class(keras):
    """A cell of the user's own, stacked on one of Keras', run with masks."""
    layers, ops = keras.layers, keras.ops

    class MinimalCell(layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.state_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
            self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")

        def call(self, inputs, states):
            output = ops.matmul(inputs, self.kernel) + ops.tanh(ops.matmul(states[0], self.recurrent))
            return output, [output]

    x, y = sentences()
    model = keras.Sequential(
        [
            keras.Input((9,)),
            layers.Embedding(30, 6, mask_zero=True),
            layers.RNN([MinimalCell(5), layers.SimpleRNNCell(5)], return_sequences=True),
            layers.TimeDistributed(layers.Dense(4, activation="relu")),
            layers.RNN(MinimalCell(3)),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    fill(model, scale=0.2)
    history = trained(model, x, y, "binary_crossentropy")
    return {"history": history, "predictions": model.predict(x, verbose=0)}


def remembering(keras):
    """A stateful network reads a long series in parts."""
    layers = keras.layers
    random = np.random.default_rng(2)
    x = random.standard_normal((3, 12, 2)).astype("float32")
    model = keras.Sequential(
        [keras.Input(batch_shape=(3, 4, 2)), layers.LSTM(5, stateful=True), layers.Dense(1)]
    )
    fill(model)
    parts = [np.asarray(model(x[:, start : start + 4])) for start in (0, 4, 8)]
    model.layers[0].reset_states()
    again = np.asarray(model(x[:, :4]))
    model.compile("sgd", "mse")
    history = model.fit(x[:, :4], parts[2], batch_size=3, epochs=3, shuffle=False, verbose=0)
    return {"parts": parts, "again": again, "history": history_of(history)}


def film(keras):
    """Pictures over time: a network for each picture, one for their order, and a recurrent convolution."""
    layers = keras.layers
    random = np.random.default_rng(3)
    x = random.random((4, 5, 8, 8, 1)).astype("float32")
    picture = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(3, 3, activation="relu"), layers.GlobalMaxPooling2D()]
    )
    inputs = keras.Input((5, 8, 8, 1))
    seen = layers.GRU(4)(layers.TimeDistributed(picture)(inputs))
    moved = layers.ConvLSTM2D(3, 3, padding="same", return_sequences=False)(inputs)
    joined = layers.concatenate([seen, layers.GlobalAveragePooling2D()(moved)])
    model = keras.Model(inputs, layers.Dense(1)(joined))
    fill(model)
    history = trained(model, x, x.mean(axis=(1, 2, 3)))
    return {"history": history, "predictions": model.predict(x, verbose=0)}


def letters_of_a_line(keras):
    """Connectionist temporal classification: the loss in a layer, and the best path."""
    layers = keras.layers
    random = np.random.default_rng(4)
    x, y = random.random((4, 8, 6)).astype("float32"), random.integers(1, 5, (4, 3))
    model = keras.Sequential(
        [keras.Input((8, 6)), layers.Bidirectional(layers.GRU(5, return_sequences=True)), layers.Dense(5)]
    )
    fill(model)
    history = trained(model, x, y, keras.losses.CTC())
    logits = model.predict(x, verbose=0)
    decoded, scores = keras.ops.ctc_decode(logits, np.full(4, 8), strategy="greedy", mask_index=0)
    return {"history": history, "decoded": np.asarray(decoded), "scores": np.asarray(scores)}


SCRIPTS = [
    sentiment,
    text_classifier,
    translation,
    forecast,
    cells_of_a_class,
    remembering,
    film,
    letters_of_a_line,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_script(script, real_keras):
    compare(script, real_keras, rtol=5e-4, atol=1e-4)
