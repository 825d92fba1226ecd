// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc

@main
struct SyncDiffTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "syncdiff", abstract: "Makes the mouths in a video speak a different sound.", version: version,
    subcommands: [Dub.self, Batch.self, Inspect.self, Preview.self, Learn.self, Detect.self, Bench.self])

  static func main() {
    holdStandardStreams()
    signal(SIGPIPE, SIG_IGN)  // if the reader of our output goes away, the write reports it
    do {
      var command = try parseAsRoot()
      do {
        try command.run()
      } catch let wrong as ValidationError {  // in a list, or for these files: the usage would not help
        throw Failure(wrong)
      }
    } catch let failure as Failure {
      say("Error: \(failure)")
      exit(withCode: failure.status)
    } catch {
      guard exitCode(for: error) == .failure else { exit(withError: error) }
      say("Error: \(error)")
      exit(withCode: .internalFault)
    }
  }

  /// A file opened while stdin, stdout or stderr is closed would get that descriptor, and receive what is written to it.
  private static func holdStandardStreams() {
    for stream in 0...2 where fcntl(Int32(stream), F_GETFD) < 0 { _ = open("/dev/null", O_RDWR) }
  }

  private static func exit(withCode status: ExitStatus) -> Never { Glibc.exit(status.rawValue) }
}
