# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Unit tests: `python -m unittest discover -s tests -t .` from Sources/Training."""
