# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""From videos and portraits to training data: audio features, face geometry, warps, and clips in memory."""
