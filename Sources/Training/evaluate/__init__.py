# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Dubs, measured: figures, reports, ablations, and the denoiser beside other engines."""
