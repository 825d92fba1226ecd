// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// Reads a result back and compares it with what was intended; returns one phrase for each difference. `empty`: kept streams that
/// have nothing in the part, of which nothing may be read back.
func differences(of result: Media, from job: Job, frames: Int, empty: [Kept.Stream]) -> [String] {
  let (picture, encoding) = (job.shown, job.encoding)
  guard let made = result.pictures.first else { return ["it holds no picture"] }
  var differences: [String] = []
  func compare<Value: Equatable>(_ name: String, _ made: Value, _ wanted: Value, _ text: (Value) -> String) {
    if made != wanted { differences.append("\(name) \(text(made)), not \(text(wanted))") }
  }
  let (width, height) = picture.shownSize
  compare("width", made.width, job.compares ? 2 * width : width) { "\($0)" }
  compare("height", made.height, height) { "\($0)" }
  // Matroska stores the display width in whole pixels.
  if abs(made.aspect.value - picture.shownAspect.value) * Double(width) >= 1 {
    compare("pixel aspect ratio", made.aspect, picture.shownAspect, \.text)
  }
  compare("orientation", made.orientation, .upright) { "\($0 ?? .upright)" }
  compare("format", made.layout, encoding.layout, \.text)

  let colours = encoding.colours
  compare("full range", made.colours.isFullRange, colours.isFullRange) { "\($0)" }
  for (name, key) in [("colour matrix", \Colours.matrix), ("transfer", \.transfer), ("primaries", \.primaries)] {
    let (said, wanted) = (made.colours[keyPath: key], colours[keyPath: key])
    if wanted != 0 { compare(name, said, wanted) { Colours.name(key, $0) } }
  }
  compare("mastering display", made.masteringDisplay, picture.masteringDisplay) { $0 ?? "none" }
  compare("light level", made.contentLight, picture.contentLight) { $0 ?? "none" }

  compare("timecode", result.timecode, job.timecode) { $0?.text ?? "none" }
  if result.indexedFrames > 0, !job.compares { compare("frames", result.indexedFrames, frames) { "\($0)" } }
  let silent = empty.count(where: \.isSound)
  for (name, made, wanted, empty) in [
    ("sound tracks", result.sounds.count, 1 + job.kept.sounds, silent),
    ("subtitles", result.subtitles, job.kept.subtitles, empty.count - silent),
  ] where made < wanted - empty || made > wanted { differences.append("\(name) \(made), not \(wanted)") }
  return differences
}
