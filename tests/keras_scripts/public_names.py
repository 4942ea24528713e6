"""The public names of Keras that Lamina has, by room; `test_public_names.py` compares them with Keras."""

COVERED = {
    "": """
        DTypePolicy FloatDTypePolicy Function Initializer Input InputSpec KerasTensor Layer Loss Metric Model
        Operation Optimizer Regularizer Sequential Variable name_scope version
    """,
    "activations": """
        celu deserialize elu exponential gelu get glu hard_shrink hard_sigmoid hard_silu hard_swish
        hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu relu6 selu serialize sigmoid
        silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax squareplus
        swish tanh tanh_shrink threshold
    """,
    "backend": """
        backend clear_session epsilon floatx image_data_format is_float_dtype is_int_dtype
        is_keras_tensor result_type set_epsilon set_floatx set_image_data_format standardize_dtype
    """,
    "callbacks": """
        BackupAndRestore CSVLogger Callback CallbackList EarlyStopping History LambdaCallback
        LearningRateScheduler ModelCheckpoint ProgbarLogger ReduceLROnPlateau RemoteMonitor
        SwapEMAWeights TensorBoard TerminateOnNaN
    """,
    "config": """
        backend disable_flash_attention disable_interactive_logging disable_traceback_filtering dtype_policy
        enable_flash_attention enable_interactive_logging enable_traceback_filtering epsilon floatx
        image_data_format is_flash_attention_enabled is_interactive_logging_enabled
        is_traceback_filtering_enabled max_epochs max_steps_per_epoch
        set_backend set_dtype_policy set_epsilon set_floatx set_image_data_format set_max_epochs
        set_max_steps_per_epoch
    """,
    "constraints": """
        Constraint MaxNorm MinMaxNorm NonNeg UnitNorm deserialize get max_norm min_max_norm non_neg
        serialize unit_norm
    """,
    "dtype_policies": """
        DTypePolicy DTypePolicyMap FloatDTypePolicy deserialize get serialize
    """,
    "initializers": """
        Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer
        Initializer LecunNormal LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal
        RandomUniform STFT STFTInitializer TruncatedNormal VarianceScaling Zeros constant
        deserialize get glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal
        lecun_uniform ones orthogonal random_normal random_uniform serialize stft
        truncated_normal variance_scaling zeros
    """,
    "layers": """
        Activation ActivityRegularization Add AlphaDropout Average Concatenate Dense Dot Dropout ELU
        EinsumDense Flatten GaussianDropout GaussianNoise Identity Input InputLayer InputSpec Lambda
        Layer LeakyReLU Masking Maximum Minimum Multiply PReLU Permute ReLU RepeatVector Rescaling
        Reshape Softmax Subtract Wrapper add average concatenate deserialize dot maximum minimum
        multiply serialize subtract
        BatchNormalization Cropping1D Cropping2D Cropping3D GroupNormalization LayerNormalization
        Normalization RMSNormalization SpatialDropout1D SpatialDropout2D SpatialDropout3D
        SpectralNormalization UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
        ZeroPadding2D ZeroPadding3D
        AugMix AutoContrast CenterCrop ContrastLimitedAdaptiveHistogramEqualization CutMix
        Equalization MixUp Pipeline RandAugment
        RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
        MaxNumBoundingBoxes MelSpectrogram RandomElasticTransform STFTSpectrogram
        RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert
        RandomPerspective RandomPosterization RandomRotation RandomSaturation
        RandomSharpness RandomShear RandomTranslation RandomZoom Resizing Solarization
        AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
        AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D AveragePooling1D
        AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D Conv1D
        Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Convolution1D
        Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D
        Convolution3DTranspose DepthwiseConv1D DepthwiseConv2D GlobalAveragePooling1D
        GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
        GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D
        GlobalMaxPooling2D GlobalMaxPooling3D MaxPool1D MaxPool2D MaxPool3D MaxPooling1D
        MaxPooling2D MaxPooling3D SeparableConv1D SeparableConv2D SeparableConvolution1D
        SeparableConvolution2D
        ConvLSTM1D ConvLSTM2D ConvLSTM3D
        AdditiveAttention Attention Bidirectional CategoryEncoding Discretization Embedding GRU
        GRUCell GroupQueryAttention HashedCrossing Hashing IntegerLookup LSTM LSTMCell
        MultiHeadAttention RNN ReversibleEmbedding SimpleRNN SimpleRNNCell StackedRNNCells
        StringLookup TextVectorization TimeDistributed
    """,
    "losses": """
        CTC ctc
        BinaryCrossentropy BinaryFocalCrossentropy CategoricalCrossentropy
        CategoricalFocalCrossentropy CategoricalGeneralizedCrossEntropy CategoricalHinge Circle
        CosineSimilarity Dice Hinge Huber KLDivergence LogCosh Loss MeanAbsoluteError
        MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson
        SparseCategoricalCrossentropy SquaredHinge Tversky binary_crossentropy
        binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy
        categorical_generalized_cross_entropy categorical_hinge circle cosine_similarity deserialize
        dice get hinge huber kl_divergence log_cosh mean_absolute_error
        mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson
        serialize sparse_categorical_crossentropy squared_hinge tversky
    """,
    "metrics": """
        AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy
        CategoricalCrossentropy CategoricalHinge ConcordanceCorrelation CosineSimilarity F1Score
        FBetaScore FalseNegatives FalsePositives Hinge IoU KLDivergence LogCoshError Mean
        MeanAbsoluteError MeanAbsolutePercentageError MeanIoU MeanMetricWrapper MeanSquaredError
        MeanSquaredLogarithmicError Metric OneHotIoU OneHotMeanIoU PearsonCorrelation Poisson
        Precision PrecisionAtRecall R2Score Recall RecallAtPrecision RootMeanSquaredError
        SensitivityAtSpecificity SparseCategoricalAccuracy SparseCategoricalCrossentropy
        SparseTopKCategoricalAccuracy SpecificityAtSensitivity SquaredHinge Sum
        TopKCategoricalAccuracy TrueNegatives TruePositives binary_accuracy binary_crossentropy
        binary_focal_crossentropy categorical_accuracy categorical_crossentropy
        categorical_focal_crossentropy categorical_hinge concordance_correlation deserialize get
        hinge huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error
        mean_squared_error mean_squared_logarithmic_error pearson_correlation poisson serialize
        sparse_categorical_accuracy sparse_categorical_crossentropy
        sparse_top_k_categorical_accuracy squared_hinge top_k_categorical_accuracy
    """,
    "mixed_precision": """
        DTypePolicy LossScaleOptimizer Policy dtype_policy global_policy set_dtype_policy
        set_global_policy
    """,
    "models": """
        Model Sequential clone_model load_model model_from_json save_model
    """,
    "ops": """
        abs absolute adaptive_average_pool adaptive_max_pool add all allclose amax amin angle any
        append arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin
        argpartition argsort array array_split associative_scan average average_pool bartlett
        batch_normalization binary_crossentropy bincount bitwise_and bitwise_invert
        bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor blackman
        broadcast_to cast categorical_crossentropy cbrt cdist ceil celu cholesky cholesky_inverse
        clip concatenate cond conj conjugate conv conv_transpose convert_to_numpy convert_to_tensor
        copy corrcoef correlate cos cosh count_nonzero cross ctc_decode ctc_loss cumprod cumsum
        custom_gradient deg2rad depth_to_space depthwise_conv det diag diagflat diagonal diff digitize divide
        divide_no_nan dot dot_product_attention dsplit dstack dtype eig eigh einsum elu empty empty_like
        equal erf erfc erfinv exp exp2 expand_dims expm1 extract_sequences eye fabs fft fft2 flip
        fliplr flipud floor floor_divide fmax fmin fmod fold fori_loop full full_like gcd gelu
        geomspace get_item glu greater greater_equal hamming hanning hard_shrink hard_sigmoid
        hard_silu hard_swish hard_tanh heaviside histogram hsplit hstack hypot i0 identity ifft2
        imag in_top_k inner inv irfft is_tensor isclose isfinite isin isinf isnan isneginf isposinf
        isreal istft jvp kaiser kron layer_normalization lcm ldexp leaky_relu left_shift less less_equal
        linspace log log10 log1p log2 log_sigmoid log_softmax logaddexp logaddexp2 logdet
        logical_and logical_not logical_or logical_xor logspace logsumexp lstsq lu_factor map matmul
        matrix_rank max max_pool maximum mean median meshgrid min minimum mod moments moveaxis
        multi_hot multiply nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean
        nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar ndim negative
        nextafter nonzero norm normalize not_equal one_hot ones ones_like outer pad percentile pinv
        polar power prod psnr ptp qr quantile rad2deg ravel real rearrange reciprocal relu relu6 repeat
        reshape rfft right_shift rms_normalization roll rot90 round rsqrt saturate_cast scan scatter
        scatter_update searchsorted segment_max segment_min segment_prod segment_sum select selu
        separable_conv shape sigmoid sign signbit silu sin sinc sinh size slice slice_update slogdet
        soft_shrink softmax softplus softsign solve solve_triangular sort space_to_depth
        sparse_categorical_crossentropy sparse_plus sparse_sigmoid sparsemax split sqrt square
        squareplus squeeze stack std stft stop_gradient subtract sum svd swapaxes swish switch take
        take_along_axis tan tanh tanh_shrink tensordot threshold tile top_k trace transpose
        trapezoid tri tril triu true_divide trunc unfold unique unravel_index unstack vander var
        vdot vectorize vectorized_map view view_as_complex view_as_real vsplit
        vstack where while_loop zeros zeros_like
    """,
    "ops.nn": """
        adaptive_average_pool adaptive_max_pool average_pool batch_normalization binary_crossentropy
        categorical_crossentropy celu conv conv_transpose ctc_decode ctc_loss depth_to_space depthwise_conv
        dot_product_attention elu fold gelu glu hard_shrink hard_sigmoid hard_silu hard_swish
        hard_tanh layer_normalization leaky_relu log_sigmoid log_softmax max_pool moments multi_hot
        normalize one_hot polar psnr relu relu6 rms_normalization selu separable_conv sigmoid silu
        soft_shrink softmax softplus softsign space_to_depth sparse_categorical_crossentropy
        sparse_plus sparse_sigmoid sparsemax squareplus swish tanh_shrink threshold unfold
    """,
    "ops.image": """
        affine_transform crop_images elastic_transform extract_patches extract_patches_3d
        gaussian_blur hsv_to_rgb map_coordinates pad_images perspective_transform resize
        rgb_to_grayscale rgb_to_hsv scale_and_translate sobel_edges ssim
    """,
    "ops.linalg": """
        cholesky cholesky_inverse det eig eigh inv jvp lstsq lu_factor matrix_rank norm pinv qr solve
        solve_triangular svd
    """,
    "optimizers": """
        Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer
        MultiOptimizer Muon Nadam Optimizer OptimizerMap RMSprop SGD ScheduleFreeAdamW deserialize
        get serialize
    """,
    "optimizers.schedules": """
        CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay LearningRateSchedule
        PiecewiseConstantDecay PolynomialDecay deserialize serialize
    """,
    "preprocessing": """
        image_dataset_from_directory text_dataset_from_directory timeseries_dataset_from_array
    """,
    "preprocessing.sequence": """
        pad_sequences
    """,
    "preprocessing.image": """
        array_to_img img_to_array load_img save_img smart_resize
    """,
    "random": """
        SeedGenerator beta binomial categorical dropout gamma normal randint shuffle
        truncated_normal uniform
    """,
    "regularizers": """
        L1 L1L2 L2 OrthogonalRegularizer Regularizer deserialize get l1 l1_l2 l2
        orthogonal_regularizer serialize
    """,
    "saving": """
        CustomObjectScope custom_object_scope deserialize_keras_object get_custom_objects
        get_registered_name get_registered_object load_model load_weights
        register_keras_serializable save_model save_weights serialize_keras_object
    """,
    "tree": """
        MAP_TO_NONE assert_same_paths assert_same_structure flatten flatten_with_path is_nested
        lists_to_tuples map_shape_structure map_structure map_structure_up_to pack_sequence_as
        traverse
    """,
    "utils": """
        Config CustomObjectScope FeatureSpace Progbar PyDataset Sequence array_to_img
        audio_dataset_from_directory clear_session text_dataset_from_directory
        custom_object_scope deserialize_keras_object disable_interactive_logging
        enable_interactive_logging get_custom_objects get_file get_registered_name
        get_registered_object get_source_inputs image_dataset_from_directory img_to_array
        is_interactive_logging_enabled is_keras_tensor load_img model_to_dot normalize
        pack_x_y_sample_weight pad_sequences plot_model register_keras_serializable save_img
        serialize_keras_object set_random_seed split_dataset standardize_dtype
        timeseries_dataset_from_array to_categorical unpack_x_y_sample_weight
    """,
    "utils.bounding_boxes": """
        affine_transform clip_to_image_size compute_ciou compute_iou convert_format crop
        decode_deltas_to_boxes encode_box_to_deltas pad
    """,
    "visualization": """
        draw_bounding_boxes draw_segmentation_masks plot_bounding_box_gallery plot_image_gallery
        plot_segmentation_mask_gallery
    """,
    "wrappers": """
        SKLearnClassifier SKLearnRegressor SKLearnTransformer
    """,
}

# Classes that users derive from or talk to: their methods are compared, too.
CLASSES = """
    Function Initializer InputSpec KerasTensor Layer Loss Metric Model Optimizer Regularizer Sequential
    Variable callbacks.Callback callbacks.CallbackList callbacks.EarlyStopping constraints.Constraint
    layers.Dense layers.InputLayer metrics.Mean optimizers.Adam optimizers.LossScaleOptimizer
    optimizers.MultiOptimizer optimizers.OptimizerMap
    optimizers.schedules.LearningRateSchedule random.SeedGenerator
"""

_WITH_OPTIONS = "SGD Adam RMSprop Adadelta Adafactor Adagrad Adamax Ftrl Lamb Lion Nadam ScheduleFreeAdamW"

# Reviewed differences of signatures: the name (or a pattern), the parameters that only Keras has, those that
# only Lamina has, and why.
DIFFERENCES = [
    ("Layer", "", "activity_regularizer trainable dtype autocast name", "Keras hides them behind **kwargs"),
    ("layers.Layer", "", "activity_regularizer trainable dtype autocast name", "the same"),
    ("Sequential", "", "layers trainable name", "Keras hides them behind *args"),
    ("models.Sequential", "", "layers trainable name", "the same"),
    ("KerasTensor", "", "history", "where the tensor came from; Keras sets it later"),
    ("Variable", "layout", "", "a layout on several devices is JAX's own matter"),
    (
        "*.serialize",
        "*",
        "target",
        "one function for all kinds of objects",
    ),
    ("losses.deserialize", "name", "config", "one function for all kinds"),
    (
        "layers.Embedding",
        "lora_rank lora_alpha quantization_config",
        "",
        "no adapters, no quantisation",
    ),
    (
        "layers.Dense",
        "lora_rank lora_alpha quantization_config",
        "",
        "no adapters, no quantisation",
    ),
    (
        "layers.EinsumDense",
        "lora_rank lora_alpha gptq_unpacked_column_size quantization_config",
        "",
        "no adapters, no quantisation",
    ),
    ("tree.assert_same_structure", "check_types", "", "deprecated in Keras, without effect"),
    ("optimizers.AdamW", "OPTIONS", "", "taken as **options, see Optimizer"),
    ("callbacks.TensorBoard", "", "write_gradients", "histograms of gradients, as Keras 1 had them"),
    *[
        (f"optimizers.{name}", "OPTIONS weight_decay", "", "taken as **options, see Optimizer")
        for name in _WITH_OPTIONS.split()
    ],
    ("name_scope", "", "caller deduplicate override_parent", "Keras takes them as **kwargs"),
    ("Function.compute_output_spec", "", "training mask", "models hand on what they were called with"),
    ("*.compile", "", "backend", "a backend is chosen for each model"),
    (
        "*.image_dataset_from_directory",
        "format",
        "skip_corrupt",
        "one form; damaged files can be left out",
    ),
    ("utils.split_dataset", "", "stratify", "the same shares of each class in both parts"),
    ("*.save_model", "", "include_optimizer", "Keras takes it as one of **kwargs"),
    ("saving.load_weights", "", "by_name", "Keras takes it as one of **kwargs"),
    ("*.predict_step", "state", "", "as with Keras on TensorFlow; JAX's has a state"),
    ("*.test_step", "state", "", "as with Keras on TensorFlow; JAX's has a state"),
    ("*.train_step", "state", "", "as with Keras on TensorFlow; JAX's has a state"),
    ("*Optimizer.add_variable", "layout", "", "a layout on several devices is JAX's own matter"),
    ("*Adam.add_variable", "layout", "", "a layout on several devices is JAX's own matter"),
    ("optimizers.*Optimizer.build", "var_list", "variables", "the name that Keras' base class uses"),
    ("*Adam.build", "var_list", "variables", "the name that Keras' base class uses"),
    ("*.add_variable", "", "aggregation overwrite_with_gradient", "the same as add_weight"),
]

# Reviewed differences of defaults: (name, parameter): why.
DEFAULTS = {
    ("*.add_variable", "shape"): "() as for add_weight",
    ("*.add_variable", "initializer"): "chosen by the dtype, as for add_weight",
    ("*.build", "input_shape"): "layers without inputs build, too",
    ("*.export", "format"): "the format that there is",
    ("layers.*Conv*", "strides"): "1 is (1, 1), whatever the rank",
    ("layers.*Conv*", "dilation_rate"): "1 is (1, 1), whatever the rank",
    ("layers.Max*", "pool_size"): "2 is (2, 2), whatever the rank",
}

# Public methods of Keras' classes that have no place here, and why.
WITHOUT = {
    "add_metric": "an error in Keras 3",
    "enable_lora": "no adapters",
    "compute_loss_and_updates jax_state_sync": "of Keras' JAX backend",
    "get_quantization_layer_structure quantization_mode quantize": "no quantisation",
    "quantized_build quantized_call": "no quantisation",
    "make_predict_function make_test_function make_train_function": "programs are made for each shape",
    "ragged_rank row_splits_dtype": "ragged tensors",
    "rematerialized_call": "the compiler decides what is kept",
    "stateless_compute_loss": "gradients are taken inside a traced step",
    "symbolic_call": "calling a layer on a KerasTensor does it",
}
