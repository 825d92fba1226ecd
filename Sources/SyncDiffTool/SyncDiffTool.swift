// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import GstSyncDiff

@main
struct SyncDiffTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "syncdiff", abstract: "Makes the mouths in a video speak another sound.",
    version: GST_SYNC_DIFF_VERSION, subcommands: [Dub.self, Learn.self, Bench.self])
}
