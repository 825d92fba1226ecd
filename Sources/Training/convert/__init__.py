# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Weights from one file format to another, and the golden values of the Swift tests."""
