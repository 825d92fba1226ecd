# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Videos and portraits to training data: speech features, face geometry, warps, and clips in memory."""
