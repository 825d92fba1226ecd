// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0
