# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The networks, trained ones and those that only teach or measure. They know nothing of training."""
