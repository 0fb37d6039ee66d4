"""A small recurrent-convolutional enhancer in Keras: stands for your own."""

from pipeline.keras import tf_keras

BANDS = 128


def build() -> tf_keras.Model:
    """Band features in, band mask out, ``[batch, time, bands]`` both; looks only back."""
    layers = tf_keras.layers
    features = layers.Input((None, BANDS))
    x = layers.Conv1D(48, 3, padding="causal", activation="relu")(features)
    y = layers.GRU(48, return_sequences=True)(x)
    x = layers.Concatenate()([x, y])
    x = layers.Dense(64, activation="relu")(x)
    return tf_keras.Model(features, layers.Dense(BANDS, activation="sigmoid")(x))
