# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The networks: those of the model, and those used only in training or measuring. None depends on the training code."""
