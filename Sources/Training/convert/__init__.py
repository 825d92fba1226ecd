# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Conversion of weights between file formats, and the golden values of the Swift tests."""
