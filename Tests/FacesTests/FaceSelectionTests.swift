// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Faces
import Testing

@Suite struct Selection {
  /// A large face left of the middle, a small one in the middle, and a medium one at the right.
  static let boxes = [(1, 100, 60), (2, 300, 20), (3, 500, 40)]

  private func chosen(_ selection: FaceSelection, before: Set<Int> = [], boxes: [(Int, Int, Int)] = boxes) -> [Int] {
    let candidates = boxes.map { id, x, size in
      let (x, size) = (Float(x), Float(size))
      return FaceSelection.Candidate(
        id: id, box: Box(x: x - size / 2, y: 150 - size / 2, width: size, height: size), isChosen: before.contains(id))
    }
    return selection.chosen(candidates, 640, 300)
  }

  @Test(
    arguments: [
      (.largest(1), [1]), (.largest(2), [1, 3]), (.largest(9), [1, 3, 2]), (.center, [2]), (.left, [1]), (.right, [3]),
      (.within([], 2), [1, 3]),
    ] as [(FaceSelection, [Int])])
  func choices(selection: FaceSelection, ids: [Int]) {
    #expect(chosen(selection) == ids)
  }

  @Test(arguments: [.largest(1), .center, .left, .right] as [FaceSelection])
  func nobodyThere(selection: FaceSelection) { #expect(chosen(selection, boxes: []) == []) }

  @Test func facesOfNearlyOneSizeDoNotTakeTurns() {
    let alike = [(1, 100, 50), (2, 300, 55)]
    #expect(chosen(.largest(1), boxes: alike) == [2])
    #expect(chosen(.largest(1), before: [1], boxes: alike) == [1])
    #expect(chosen(.largest(1), before: [1], boxes: [(1, 100, 50), (2, 300, 70)]) == [2])
  }

  @Test func facesThatPassEachOtherDoNotTakeTurns() {
    #expect(chosen(.left, before: [2], boxes: [(1, 290, 50), (2, 300, 50)]) == [2])
    #expect(chosen(.left, before: [2], boxes: [(1, 270, 50), (2, 300, 50)]) == [1])
    #expect(chosen(.right, before: [1], boxes: [(1, 290, 50), (2, 300, 50)]) == [1])
    #expect(chosen(.center, before: [1], boxes: [(1, 290, 50), (2, 320, 50)]) == [2])
    #expect(chosen(.center, before: [1], boxes: [(1, 300, 50), (2, 320, 50)]) == [1])
  }
}
