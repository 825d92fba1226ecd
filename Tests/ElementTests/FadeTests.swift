// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import SyncDiffElement
import Testing

@Suite struct FadeTests {
  @Test("What begins with the shot begins in full; what stops fades over three frames, and comes back over three")
  func fades() {
    var fade = Fade()
    var shares: [Double] = []
    for painting in [true, true, false, false, false, false, true, true, true, false, true] {
      shares.append((fade.next(painting: painting) * 3).rounded())
    }
    #expect(shares == [3, 3, 2, 1, 0, 0, 1, 2, 3, 2, 3])
  }

  @Test("A frame that cannot be painted ends it, and the next one begins softly")
  func ceases() {
    var fade = Fade()
    let first = fade.next(painting: true)
    #expect(first == 1 && fade.isShowing)
    fade.cease()
    #expect(!fade.isShowing)
    let again = fade.next(painting: true)
    #expect(again == 1.0 / 3)
  }
}
