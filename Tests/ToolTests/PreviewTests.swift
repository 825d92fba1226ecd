// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@Suite struct PreviewTests {
  @Test("The page lists files by their endings, whatever their case")
  func files() throws {
    let folder = try Folder()
    let films = ["a.MTS", "b.m2ts", "c.mpg", "d.mpeg", "e.ts", "f.mp4", "g.qt"]
    let (sounds, others) = (["h.aif", "i.aiff", "j.wav", "k.opus"], ["l.txt", "mts"])
    for name in films + ["photo.jpg"] + sounds + others {
      try Data().write(to: URL(fileURLWithPath: folder.file(name)))
    }
    // A shell asks for the list, since the server runs until it is ended.
    let script = """
      exec 4< <("$0" preview --port 0 "$1" & echo $!; wait)
      read -u 4 server; read -u 4 page; port=${page%/}; port=${port##*:}
      exec 3<>/dev/tcp/127.0.0.1/$port
      printf 'GET /files HTTP/1.1\\r\\nHost: 127.0.0.1:%s\\r\\n\\r\\n' $port >&3
      cat <&3; kill $server
      """
    let outcome = try run(URL(fileURLWithPath: "/bin/bash"), ["-c", script, tool.path, folder.path])
    let body = try #require(outcome.out.split(separator: "\r\n\r\n").last)
    let listed = try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: [String]]
    #expect(listed?["pictures"] == films + ["photo.jpg"], "\(outcome.out) \(outcome.err)")
    #expect(listed?["sounds"] == films + sounds, "\(outcome.out)")
  }
}
