"""Public names of Keras that Lamina does not have: (patterns, why). The first that fits counts."""

LEFT_OUT = [
    (
        "Quantizer *.DTypePolicyMap *.QuantizedDTypePolicy *.QuantizedFloat8DTypePolicy",
        "no quantisation",
    ),
    ("StatelessScope SymbolicScope", "tracing takes their place: `lamina.function`"),
    ("RematScope remat", "the compiler decides what is kept"),
    ("device", "a backend is chosen for each `compile`"),
    ("export.ExportArchive", "a builder of TensorFlow's SavedModels; `Model.export` writes ONNX"),
    ("distribution.* distillation.*", "not there yet"),
    ("callbacks.OrbaxCheckpoint", "ModelCheckpoint and BackupAndRestore write files of their own"),
    ("config.is_nnx_enabled", "of Keras' JAX backend"),
    (
        "config.enable_unsafe_deserialization",
        "loading never runs code",
    ),
    (
        "layers.TFSMLayer layers.JaxLayer layers.FlaxLayer layers.TorchModuleWrapper",
        "layers of other libraries",
    ),
    ("ops.shard_map", "of devices, not of arrays"),
    ("*", "not there yet"),
]
