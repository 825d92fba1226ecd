# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""The trainings: each command defines its data, losses and networks; loop.py does the rest."""
