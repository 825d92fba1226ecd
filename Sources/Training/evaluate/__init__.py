# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Measuring: metrics of dubs, reports, ablations, and the denoiser's speed against other engines."""
