"""The part of Holdfast that knows nothing of TensorFlow: formats, policies, stores, sessions, the daemon."""
