"""Scripts of first chapters: stacks of layers on small tables, written for Keras, run with both."""

import numpy as np
import pandas as pd
import pytest
from keras_script import compare, fill, flowers, history_of, houses, names_of, sorted_logs, without


def exclusive_or(keras):
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = np.array([0, 1, 1, 0])
    model = keras.Sequential()
    model.add(keras.Input(shape=(2,)))
    model.add(keras.layers.Dense(8, activation="tanh"))
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    fill(model, seed=8, scale=1.0)
    optimizer = keras.optimizers.SGD(learning_rate=0.5, momentum=0.9, nesterov=True)
    model.compile(loss="binary_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    history = model.fit(x, y, epochs=60, batch_size=4, shuffle=False, verbose=0)
    predicted = model.predict(x, verbose=0)
    return {
        "history": history_of(history),
        "epoch": history.epoch,
        "params": history.params,
        "predicted": predicted,
        "rounded": np.round(predicted).astype(int).ravel().tolist(),
        "evaluate": model.evaluate(x, y, verbose=0),
        "names": names_of(model),
        "steps": int(model.optimizer.iterations),
    }


def three_flowers(keras):
    x, y = flowers()
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(16, activation="relu", name="first"),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(3, activation="softmax", name="species"),
        ],
        name="iris",
    )
    fill(model)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=3, batch_size=16, validation_split=0.2, shuffle=False, verbose=0)
    loss, accuracy = model.evaluate(x, y, verbose=0)
    return {
        "history": history_of(history),
        "loss": loss,
        "accuracy": accuracy,
        "classes": model.predict(x[:20], verbose=0).argmax(axis=1),
        "names": names_of(model),
        "first": model.layers[0].get_weights(),
        "by_name": model.get_layer("species").name,
        "by_index": model.get_layer(index=1).name,
        "shapes": [list(model.input_shape), list(model.output_shape)],
        "call": model(x[:3]).numpy() if hasattr(model(x[:3]), "numpy") else np.asarray(model(x[:3])),
    }


def one_hot_with_many_metrics(keras):
    x, numbers = flowers()
    y = keras.utils.to_categorical(numbers, num_classes=3)
    model = keras.Sequential([keras.layers.Dense(12, activation="tanh"), keras.layers.Dense(3)])
    model.add(keras.layers.Softmax())
    model.build((None, 4))
    fill(model)
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=0.01),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=[
            keras.metrics.CategoricalAccuracy(name="acc"),
            "AUC",
            keras.metrics.Precision(),
            keras.metrics.Recall(),
            keras.metrics.TopKCategoricalAccuracy(k=2, name="top2"),
            "mse",
        ],
    )
    history = model.fit(x, y, batch_size=32, epochs=2, shuffle=False, verbose=0)
    return {
        "history": history_of(history),
        "result": sorted_logs(model.evaluate(x, y, batch_size=45, verbose=0, return_dict=True)),
        "built": [layer.built for layer in model.layers],
    }


def prices_from_a_frame(keras):
    numbers, price = houses()
    frame = pd.DataFrame(numbers, columns=[f"column {i}" for i in range(6)])
    frame["price"] = price
    frame.index = np.arange(len(frame)) * 3 + 7  # as after dropping rows
    train, test = frame.iloc[:60], frame.iloc[60:]
    features, target = train.drop(columns="price"), train.pop("price")
    mean, std = features.mean(), features.std()
    features = (features - mean) / std

    def build_model():
        model = keras.models.Sequential(
            [
                keras.layers.Input(shape=(features.shape[1],)),
                keras.layers.Dense(10, activation="relu", kernel_regularizer=keras.regularizers.l2(0.001)),
                keras.layers.Dropout(0.0),
                keras.layers.Dense(10, activation="elu", kernel_regularizer="l1", bias_regularizer="l2"),
                keras.layers.Dense(1),
            ]
        )
        fill(model)
        model.compile(loss="mse", optimizer="adam", metrics=["mae", keras.metrics.RootMeanSquaredError()])
        return model

    histories = []
    for fold in range(2):
        model = build_model()
        rows = slice(30 * fold, 30 * fold + 30)
        histories.append(
            history_of(
                model.fit(
                    features[rows],
                    target[rows],
                    epochs=2,
                    batch_size=10,
                    shuffle=False,
                    validation_data=((test.drop(columns="price") - mean) / std, test["price"]),
                    verbose=0,
                )
            )
        )
    return {
        "histories": histories,
        "losses": [float(loss) for loss in model.losses],
        "layers": [layer.name for layer in model.layers],
        "predicted": model.predict(features, verbose=0).flatten(),
    }


def rare_class(keras):
    x, y = flowers(60)
    y = (y == 0).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    fill(model)
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2),
        loss=keras.losses.BinaryCrossentropy(),
        metrics=[
            keras.metrics.FalseNegatives(name="fn"),
            keras.metrics.FalsePositives(name="fp"),
            keras.metrics.TruePositives(name="tp"),
            keras.metrics.TrueNegatives(name="tn"),
            keras.metrics.BinaryAccuracy(threshold=0.6),
        ],
        weighted_metrics=["accuracy", keras.metrics.AUC(curve="PR", name="prc")],
    )
    weighted = model.fit(
        x, y, class_weight={0: 0.4, 1: 2.5}, epochs=2, batch_size=20, shuffle=False, verbose=0
    )
    sampled = model.fit(
        x,
        y,
        sample_weight=np.linspace(0, 2, 60),
        validation_data=(x[:30], y[:30], np.linspace(1, 2, 30)),
        epochs=2,
        batch_size=20,
        shuffle=False,
        verbose=0,
    )
    return {
        "weighted": history_of(weighted),
        "sampled": history_of(sampled),
        "evaluated": model.evaluate(x, y, sample_weight=np.linspace(0, 1, 60), verbose=0),
        "metrics": [metric.name for metric in model.metrics],
    }


def constraints_and_penalties(keras):
    x, y = houses()
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(
                8,
                activation="relu",
                kernel_constraint=keras.constraints.MaxNorm(0.9),
                bias_constraint=keras.constraints.NonNeg(),
                activity_regularizer=keras.regularizers.L2(0.01),
            ),
            keras.layers.Dense(4, kernel_constraint="unit_norm", kernel_regularizer="l1l2"),
            keras.layers.ActivityRegularization(l1=0.01),
            keras.layers.Dense(
                2, kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.01, "columns")
            ),
            keras.layers.Dense(1),
        ]
    )
    fill(model)
    model.compile(keras.optimizers.SGD(0.05), "mean_absolute_error")
    history = model.fit(x, y, epochs=3, batch_size=40, shuffle=False, verbose=0)
    return {
        "history": history_of(history),
        "weights": model.get_weights(),
        "norms": np.linalg.norm(model.layers[0].get_weights()[0], axis=0),
        "configs": [
            model.layers[0].kernel_constraint.get_config(),
            model.layers[1].kernel_regularizer.get_config(),
        ],
    }


def schedules(keras):
    x, y = houses()
    result = {}
    for name, rate in {
        "exponential": keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5, staircase=True),
        "cosine": keras.optimizers.schedules.CosineDecay(0.1, 6, warmup_target=0.2, warmup_steps=2),
    }.items():
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
        fill(model)
        model.compile(keras.optimizers.SGD(rate, clipnorm=1.0), loss=keras.losses.Huber())
        history = model.fit(x, y, batch_size=20, epochs=2, shuffle=False, verbose=0)
        result[name] = {
            "history": history_of(history),
            "rate": float(model.optimizer.learning_rate),
            "iterations": int(model.optimizer.iterations),
            "weights": model.get_weights(),
        }
    return result


def stack_that_grows(keras):
    x, _ = flowers(6)
    model = keras.Sequential(name="grows")
    model.add(keras.layers.Dense(5, activation="relu"))
    before = (model.built, len(model.weights))
    y = model(x)
    model.add(keras.layers.Dense(2, use_bias=False))
    after = names_of(model)
    fill(model)
    output = np.asarray(model(x))
    removed = model.pop()
    return {
        "before": list(before),
        "shape": tuple(y.shape),
        "after": after,
        "output": output,
        "removed": removed.name,
        "left": [layer.name for layer in model.layers],
        "again": np.asarray(model(x)),
        "config": [entry["class_name"] for entry in model.get_config()["layers"]],
        "dense": list(without(model.layers[0].get_config(), "quantization_config")),
    }


def weights_by_hand(keras):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="d"), keras.layers.Dense(1)])
    kernel = np.arange(6.0).reshape(3, 2)
    model.layers[0].set_weights([kernel, np.ones(2)])
    model.layers[1].kernel.assign(np.array([[2.0], [3.0]]))
    model.get_layer("d").bias.assign_add([0.5, -0.5])
    kernel_read, bias = model.layers[0].get_weights()
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return {
        "kernel": kernel_read,
        "bias": bias,
        "output": np.asarray(model(np.ones((2, 3)))),
        "copy": np.asarray(copy(np.ones((2, 3)))),
        "names": [weight.name for weight in model.weights],
        "dtypes": [str(weight.dtype) for weight in model.weights],
        "counts": [layer.count_params() for layer in model.layers],
        "variables": len(model.trainable_weights),
    }


def batches_by_hand(keras):
    x, y = flowers(64)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    fill(model)
    model.compile(
        "sgd", "sparse_categorical_crossentropy", metrics=["accuracy", "sparse_top_k_categorical_accuracy"]
    )
    logs = []
    for start in range(0, 64, 16):
        logs.append(model.train_on_batch(x[start : start + 16], y[start : start + 16]))
    return {
        "logs": logs,
        "dict": sorted_logs(model.train_on_batch(x[:16], y[:16], return_dict=True)),
        "weighted": model.train_on_batch(x[:16], y[:16], sample_weight=np.linspace(0, 1, 16)),
        "classes": model.train_on_batch(x[:16], y[:16], class_weight={0: 1.0, 1: 2.0, 2: 0.5}),
        "test": model.test_on_batch(x[16:32], y[16:32]),
        "test_dict": sorted_logs(model.test_on_batch(x[16:32], y[16:32], return_dict=True)),
        "predict": model.predict_on_batch(x[:5]),
    }


SCRIPTS = [
    exclusive_or,
    three_flowers,
    one_hot_with_many_metrics,
    prices_from_a_frame,
    rare_class,
    constraints_and_penalties,
    schedules,
    stack_that_grows,
    weights_by_hand,
    batches_by_hand,
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_script(script, real_keras):
    compare(script, real_keras)
