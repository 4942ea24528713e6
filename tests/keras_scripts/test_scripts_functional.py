"""Scripts with the functional API: several inputs and outputs, shared layers, models inside models."""

import numpy as np
import pytest
from keras_script import compare, fill, flowers, history_of, houses, names_of, sorted_logs


def wide_and_deep(keras):
    x, y = houses()
    wide, deep = keras.Input(shape=(2,), name="wide"), keras.Input(shape=(5,), name="deep")
    hidden = keras.layers.Dense(12, activation="relu")(deep)
    hidden = keras.layers.Dense(6, activation="relu")(hidden)
    joined = keras.layers.concatenate([wide, hidden])
    price = keras.layers.Dense(1, name="price")(joined)
    cheap = keras.layers.Dense(1, activation="sigmoid", name="cheap")(hidden)
    model = keras.Model(inputs=[wide, deep], outputs=[price, cheap])
    fill(model)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.01),
        loss={"price": "mse", "cheap": keras.losses.BinaryCrossentropy()},
        loss_weights={"price": 0.9, "cheap": 0.1},
        metrics={"price": ["mae"], "cheap": ["accuracy"]},
    )
    data = {"wide": x[:, :2], "deep": x[:, 1:]}
    target = {"price": y, "cheap": (y < 0.5).astype("int32")}
    history = model.fit(
        data,
        target,
        epochs=2,
        batch_size=20,
        shuffle=False,
        validation_data=(
            [x[:20, :2], x[:20, 1:]],
            {"price": y[:20], "cheap": y[:20] < 0.5},
        ),
        verbose=0,
    )
    first, second = model.predict((x[:7, :2], x[:7, 1:]), verbose=0)
    return {
        "history": history_of(history),
        "evaluated": model.evaluate(data, target, batch_size=20, verbose=0),
        "predicted": [first, second],
        "names": names_of(model),
        "outputs": list(model.output_names),
        "inputs": [tensor.name for tensor in model.inputs],
        "metrics": [metric.name for metric in model.metrics],
    }


def outputs_in_a_dict(keras):
    x, y = flowers(40)
    inputs = keras.Input((4,), name="measurements")
    hidden = keras.layers.Dense(6, activation="gelu")(inputs)
    model = keras.Model(
        inputs,
        {
            "species": keras.layers.Dense(3, activation="softmax")(hidden),
            "height": keras.layers.Dense(1)(hidden),
        },
    )
    fill(model)
    model.compile(
        "rmsprop",
        loss={"species": "sparse_categorical_crossentropy", "height": "mae"},
        metrics={"species": ["accuracy"], "height": [keras.metrics.MeanSquaredError(name="squares")]},
    )
    target = {"species": y, "height": x[:, 0]}
    weight = {"species": np.linspace(0, 1, 40), "height": np.ones(40)}
    history = model.fit(x, target, 20, 2, sample_weight=weight, shuffle=False, verbose=0)
    predicted = model.predict(x[:3], verbose=0)
    return {
        "history": history_of(history),
        "predicted": dict(sorted(predicted.items())),
        "evaluated": sorted_logs(model.evaluate(x, target, batch_size=20, verbose=0, return_dict=True)),
        "called": dict(sorted((key, np.asarray(value)) for key, value in model(x[:2]).items())),
    }


def siamese(keras):
    x, y = flowers(48)
    encoder = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)], name="encoder"
    )
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")

    def euclidean(vectors):
        one, other = vectors
        squares = keras.ops.sum(keras.ops.square(one - other), axis=1, keepdims=True)
        return keras.ops.sqrt(keras.ops.maximum(squares, keras.backend.epsilon()))

    distance = keras.layers.Lambda(euclidean, output_shape=(1,))([encoder(left), encoder(right)])
    model = keras.Model([left, right], distance)

    def contrastive(margin=1.0):
        def contrastive_loss(y_true, y_pred):
            near = keras.ops.square(y_pred)
            far = keras.ops.square(keras.ops.maximum(margin - y_pred, 0))
            return keras.ops.mean((1 - y_true) * near + y_true * far)

        return contrastive_loss

    fill(model)
    model.compile(loss=contrastive(margin=2), optimizer="RMSprop", metrics=["accuracy"])
    different = (y != np.roll(y, 1)).astype("float32")
    history = model.fit([x, np.roll(x, 1, 0)], different, epochs=2, batch_size=24, shuffle=False, verbose=0)
    return {
        "history": history_of(history),
        "weights": len(model.weights),
        "trainable": len(model.trainable_weights),
        "encoder": encoder.predict(x[:3], verbose=0),
        "layers": [layer.name for layer in model.layers],
    }


def autoencoder(keras):
    x, _ = houses(64)
    image = keras.Input(shape=(6,), name="image")
    code = keras.layers.Dense(2, activation="relu", name="code")(
        keras.layers.Dense(4, activation="relu")(image)
    )
    encoder = keras.Model(image, code, name="encoder")
    code_input = keras.Input(shape=(2,))
    decoded = keras.layers.Dense(6, activation="sigmoid")(
        keras.layers.Dense(4, activation="relu")(code_input)
    )
    decoder = keras.Model(code_input, decoded, name="decoder")
    model = keras.Model(image, decoder(encoder(image)), name="autoencoder")
    fill(model)
    model.compile(optimizer="adam", loss="binary_crossentropy")
    history = model.fit(x, x, epochs=2, batch_size=32, shuffle=False, verbose=0)
    return {
        "history": history_of(history),
        "codes": np.asarray(encoder(x[:4])),
        "decoded": np.asarray(decoder(encoder(x[:4]))),
        "names": names_of(model),
        "found": model.get_layer("encoder").get_layer("code").name,
    }


def features_of_a_model(keras):
    x, _ = flowers(12)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, activation="tanh", name="hidden")(inputs)
    outputs = keras.layers.Dense(2)(hidden)
    model = keras.Model(inputs, outputs)
    fill(model)
    extractor = keras.Model(model.inputs, [layer.output for layer in model.layers[1:]])
    one = keras.Model(model.input, model.get_layer("hidden").output)
    both = extractor(x)
    return {
        "both": [np.asarray(output) for output in both],
        "one": one.predict(x, verbose=0),
        "shared": one.layers[1] is model.layers[1],
        "shape": list(one.output_shape),
        "layers": [layer.name for layer in extractor.layers],
    }


def residual_tower(keras):
    x, y = houses(40)
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(8, activation="swish")(inputs)
    for number in range(6):
        branch = keras.layers.Dense(8, activation="relu", name=f"branch_{number}")(hidden)
        branch = keras.layers.Dense(8)(branch)
        hidden = keras.layers.Activation("relu")(keras.layers.Add()([hidden, 0.5 * branch]))
    gate = keras.layers.Dense(8, activation="sigmoid")(inputs)
    outputs = keras.layers.Dense(1)(keras.layers.Multiply()([hidden, gate]))
    model = keras.Model(inputs, outputs)
    fill(model, scale=0.2)
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.01), "log_cosh", metrics=["r2_score", "mape"])
    history = model.fit(x, y[:, None], epochs=2, batch_size=20, shuffle=False, verbose=0)
    return {"history": history_of(history), "count": model.count_params(), "layers": len(model.layers)}


def every_merge(keras):
    x, _ = flowers(10)
    one, other = keras.Input((4,)), keras.Input((4,))
    left = keras.layers.Dense(3, name="left")(one)
    right = keras.layers.Dense(3, name="right")(other)
    layers = keras.layers
    merged = [
        layers.add([left, right]),
        layers.subtract([left, right]),
        layers.multiply([left, right]),
        layers.average([left, right]),
        layers.maximum([left, right]),
        layers.minimum([left, right]),
        layers.Concatenate(axis=-1)([left, right]),
        layers.Dot(axes=1)([left, right]),
        layers.dot([left, right], axes=-1, normalize=True),
    ]
    model = keras.Model([one, other], merged)
    fill(model)
    return {
        "outputs": [np.asarray(output) for output in model([x, -x])],
        "shapes": [list(output.shape) for output in merged],
        "names": [layer.name for layer in model.layers],
    }


def arithmetic_on_symbols(keras):
    ops = keras.ops
    x, _ = flowers(10)
    inputs = keras.Input((4,), name="x")
    half = inputs[:, :2] * 2 - 1
    wave = ops.sin(inputs[:, 2:]) / (1 + ops.exp(-half))
    power = abs(wave) ** 1.5 @ ops.ones((2, 3))
    flag = ops.where(power > 0.5, power, -power)
    joined = ops.concatenate([flag, ops.expand_dims(ops.mean(inputs, axis=1), -1)], axis=-1)
    reshaped = ops.reshape(joined, (-1, 2, 2))
    model = keras.Model(inputs, [joined, ops.transpose(reshaped, (0, 2, 1)), ops.softmax(joined)])
    return {
        "outputs": [np.asarray(output) for output in model(x)],
        "shapes": [list(output.shape) for output in model.outputs],
        "layers": [layer.name for layer in model.layers],
    }


def copies_from_configs(keras):
    x, _ = flowers(8)
    inputs = keras.Input((4,), name="flower")
    hidden = keras.layers.Dense(5, activation="relu", kernel_regularizer="l2")(inputs)
    hidden = keras.layers.LeakyReLU(negative_slope=0.2)(hidden)
    hidden = keras.layers.Dropout(0.3)(hidden)
    outputs = keras.layers.Dense(2, activation=keras.activations.softplus, name="last")(hidden)
    model = keras.Model(inputs=inputs, outputs=outputs, name="original")
    fill(model)
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    json_copy = keras.models.model_from_json(model.to_json())
    json_copy.set_weights(model.get_weights())
    clone = keras.models.clone_model(model)
    fill(clone)
    return {
        "outputs": [np.asarray(each(x)) for each in (model, copy, json_copy, clone)],
        "names": [names_of(each) for each in (copy, json_copy, clone)],
        "rate": copy.layers[3].rate,
        "layers": [layer.__class__.__name__ for layer in copy.layers],
    }


def frozen_part(keras):
    x, y = flowers(48)
    base = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, activation="relu"),
            keras.layers.Dense(5, activation="relu"),
        ],
        name="base",
    )
    fill(base)
    base.trainable = False
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(3, activation="softmax", name="top")(base(inputs, training=False))
    model = keras.Model(inputs, outputs)
    fill(model)
    counts = [len(model.weights), len(model.trainable_weights), len(model.non_trainable_weights)]
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy())
    frozen = model.fit(x, y, epochs=1, batch_size=24, shuffle=False, verbose=0)
    before = [np.array(weight) for weight in base.get_weights()]
    base.trainable = True
    base.layers[0].trainable = False
    model.compile(keras.optimizers.SGD(1e-2), keras.losses.SparseCategoricalCrossentropy())
    tuned = model.fit(x, y, epochs=1, batch_size=24, shuffle=False, verbose=0)
    return {
        "counts": counts,
        "frozen": history_of(frozen),
        "before": before,
        "tuned": history_of(tuned),
        "after": base.get_weights(),
        "trainable": [weight.path for weight in model.trainable_weights],
        "flags": [layer.trainable for layer in base.layers],
    }


SCRIPTS = [
    wide_and_deep,
    outputs_in_a_dict,
    siamese,
    autoencoder,
    features_of_a_model,
    residual_tower,
    every_merge,
    arithmetic_on_symbols,
    copies_from_configs,
    frozen_part,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_script(script, real_keras):
    compare(script, real_keras)
