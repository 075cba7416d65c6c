"""Synonyms of the initializers: written from the table by docs/write_stubs.py."""

from fastbp.initializers import Initializer

eye: Initializer
kaiming_normal: Initializer
kaiming_uniform: Initializer
random_normal: Initializer
random_uniform: Initializer
trunc_normal: Initializer
xavier_normal: Initializer
xavier_uniform: Initializer
