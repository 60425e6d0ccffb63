"""The part of Holdfast that knows TensorFlow, Keras and IPython: capture, restore, exactness."""
