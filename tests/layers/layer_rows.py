"""One row per layer and way of using it."""

from __future__ import annotations

from image_rows import IMAGE_ROWS
from layer_row import Row


def scale(x):
    return x * 2 + 1


ROWS = [
    Row("dense", lambda L: L.Dense(5), ((3, 4),), (3, 5), ("kernel", "bias")),
    Row("dense_relu", lambda L: L.Dense(5, activation="relu"), ((3, 4),), (3, 5), ("kernel", "bias")),
    Row("dense_softmax", lambda L: L.Dense(5, "softmax"), ((3, 4),), (3, 5), ("kernel", "bias")),
    Row("dense_no_bias", lambda L: L.Dense(1, use_bias=False), ((3, 4),), (3, 1), ("kernel",)),
    Row("dense_3d", lambda L: L.Dense(5, activation="tanh"), ((3, 2, 4),), (3, 2, 5), ("kernel", "bias")),
    Row("dense_4d", lambda L: L.Dense(2), ((3, 2, 4, 6),), (3, 2, 4, 2), ("kernel", "bias")),
    Row(
        "dense_everything",
        lambda L: L.Dense(
            3,
            activation="elu",
            kernel_initializer="he_normal",
            bias_initializer="ones",
            kernel_regularizer="l2",
            bias_regularizer="l1",
            activity_regularizer="l2",
            kernel_constraint="non_neg",
            bias_constraint="max_norm",
            name="everything",
            trainable=False,
        ),
        ((3, 4),),
        (3, 3),
        ("kernel", "bias"),
    ),
    Row("dense_integers", lambda L: L.Dense(2), ((3, 4),), (3, 2), ("kernel", "bias"), integers=True),
    Row(
        "einsum_dense",
        lambda L: L.EinsumDense("ab,bc->ac", 5, bias_axes="c"),
        ((3, 4),),
        (3, 5),
        ("kernel", "bias"),
    ),
    Row(
        "einsum_dense_sequence",
        lambda L: L.EinsumDense("abc,cd->abd", (None, 6), activation="relu", bias_axes="d"),
        ((3, 2, 4),),
        (3, 2, 6),
        ("kernel", "bias"),
    ),
    Row(
        "einsum_dense_ellipsis_left",
        lambda L: L.EinsumDense("...x,xy->...y", output_shape=5, bias_axes="y"),
        ((3, 2, 4),),
        (3, 2, 5),
        ("kernel", "bias"),
    ),
    Row(
        "einsum_dense_ellipsis_right",
        lambda L: L.EinsumDense("ab...,bc->ac...", output_shape=(5,), bias_axes="c"),
        ((3, 4, 2),),
        (3, 5, 2),
        ("kernel", "bias"),
    ),
    Row(
        "einsum_dense_heads",
        lambda L: L.EinsumDense("abc,cde->abde", (None, 2, 5), bias_axes="de"),
        ((3, 2, 4),),
        (3, 2, 2, 5),
        ("kernel", "bias"),
    ),
    Row("activation", lambda L: L.Activation("tanh"), ((3, 4),), (3, 4)),
    Row("relu", lambda L: L.ReLU(), ((3, 4),), (3, 4)),
    Row("relu_all", lambda L: L.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2), ((3, 4),), (3, 4)),
    Row("leaky_relu", lambda L: L.LeakyReLU(negative_slope=0.25), ((3, 4),), (3, 4)),
    Row("prelu", lambda L: L.PReLU(alpha_initializer="ones"), ((3, 4, 2),), (3, 4, 2), ("alpha",)),
    Row("prelu_shared", lambda L: L.PReLU("ones", shared_axes=[1]), ((3, 4, 2),), (3, 4, 2), ("alpha",)),
    Row("elu", lambda L: L.ELU(alpha=0.5), ((3, 4),), (3, 4)),
    Row("softmax", lambda L: L.Softmax(), ((3, 4),), (3, 4)),
    Row("softmax_axis", lambda L: L.Softmax(axis=1), ((3, 4, 2),), (3, 4, 2)),
    Row("softmax_axes", lambda L: L.Softmax(axis=[1, 2]), ((3, 4, 2),), (3, 4, 2)),
    Row("dropout", lambda L: L.Dropout(0.4, seed=3), ((5, 8),), (5, 8), seeds=1, random=True),
    Row("dropout_zero", lambda L: L.Dropout(0), ((5, 8),), (5, 8)),
    Row(
        "dropout_shape", lambda L: L.Dropout(0.4, (None, 1), seed=3), ((5, 8),), (5, 8), seeds=1, random=True
    ),
    Row("alpha_dropout", lambda L: L.AlphaDropout(0.3, seed=3), ((5, 8),), (5, 8), seeds=1, random=True),
    Row(
        "gaussian_dropout", lambda L: L.GaussianDropout(0.3, seed=3), ((5, 8),), (5, 8), seeds=1, random=True
    ),
    Row("gaussian_noise", lambda L: L.GaussianNoise(0.3, seed=3), ((5, 8),), (5, 8), seeds=1, random=True),
    Row("activity_regularization", lambda L: L.ActivityRegularization(l1=0.1, l2=0.2), ((3, 4),), (3, 4)),
    Row("flatten", lambda L: L.Flatten(), ((3, 4, 2),), (3, 8)),
    Row("flatten_1d", lambda L: L.Flatten(), ((3,),), (3, 1)),
    Row("reshape", lambda L: L.Reshape((2, 4)), ((3, 8),), (3, 2, 4)),
    Row("reshape_inferred", lambda L: L.Reshape((-1, 2)), ((3, 4, 4),), (3, 8, 2)),
    Row("permute", lambda L: L.Permute((2, 1)), ((3, 4, 5),), (3, 5, 4)),
    Row("permute_integers", lambda L: L.Permute((3, 1, 2)), ((3, 4, 5, 2),), (3, 2, 4, 5), integers=True),
    Row("repeat_vector", lambda L: L.RepeatVector(3), ((2, 4),), (2, 3, 4)),
    Row("identity", lambda L: L.Identity(), ((3, 4),), (3, 4)),
    Row("lambda", lambda L: L.Lambda(scale), ((3, 4),), (3, 4)),
    Row("lambda_shape", lambda L: L.Lambda(scale, output_shape=(4,)), ((3, 4),), (3, 4)),
    Row("masking", lambda L: L.Masking(mask_value=0.5), ((3, 4, 2),), (3, 4, 2)),
    Row("rescaling", lambda L: L.Rescaling(1 / 255, offset=-0.5), ((3, 4),), (3, 4), integers=True),
    Row("rescaling_arrays", lambda L: L.Rescaling([1.0, 2.0], offset=[0.0, 1.0]), ((3, 2),), (3, 2)),
    Row("add", lambda L: L.Add(), ((3, 4), (3, 4), (3, 4)), (3, 4)),
    Row("add_broadcast", lambda L: L.Add(), ((3, 1, 4), (3, 2, 4)), (3, 2, 4)),
    Row("add_ranks", lambda L: L.Add(), ((3, 4), (3, 2, 4)), (3, 2, 4)),
    Row("subtract", lambda L: L.Subtract(), ((3, 4), (3, 4)), (3, 4)),
    Row("multiply", lambda L: L.Multiply(), ((3, 4), (3, 4)), (3, 4)),
    Row("average", lambda L: L.Average(), ((3, 4), (3, 4), (3, 4)), (3, 4)),
    Row("maximum", lambda L: L.Maximum(), ((3, 4), (3, 4)), (3, 4)),
    Row("minimum", lambda L: L.Minimum(), ((3, 4), (3, 4)), (3, 4)),
    Row("concatenate", lambda L: L.Concatenate(), ((3, 4), (3, 2)), (3, 6)),
    Row("concatenate_axis", lambda L: L.Concatenate(axis=1), ((3, 4, 2), (3, 1, 2)), (3, 5, 2)),
    Row("dot", lambda L: L.Dot(axes=1), ((3, 4), (3, 4)), (3, 1)),
    Row("dot_pair", lambda L: L.Dot(axes=(1, 2)), ((3, 4, 2), (3, 5, 4)), (3, 2, 5)),
    Row("dot_negative", lambda L: L.Dot(axes=-1), ((3, 2, 4), (3, 4)), (3, 2)),
    Row("dot_normalized", lambda L: L.Dot(axes=-1, normalize=True), ((3, 4), (3, 4)), (3, 1)),
    *IMAGE_ROWS,
]
