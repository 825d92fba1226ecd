// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// `syncdiff bench frame`: passes frames through everything that the element does, without GStreamer.

import ArgumentParser
import CGStreamer
import Faces
import Speech
import SyncDiff
import SyncDiffElement
import Tensors

struct BenchWholeFrame: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "frame", abstract: "Times a whole frame, stage by stage.",
    discussion: """
      Dubs one picture with a face and a synthetic sound again and again:
        find     detect cuts, track the face, remember its mouth
        hear     features of the newest 40 ms, audio encoder, mouth shape
        warp     move the face's pixels, crop the window
        encode   window to latent; conditioning on the sound and the previous frame
        denoise  all steps; decoding of the unpainted window
        decode   the new latent to a picture
        blend    moved face and painted mouth into the frame
      The first frame, which also searches the picture, is listed separately.

      JSON: {"bench": "frame", "processor", "cores", "isa", "bf16", "results": [{"precision", "threads", "steps", "picture", \
      "width", "height", "format", "fps", "first_ms", "median_ms", "p95_ms", "min_ms", "ms": [each frame in order], \
      "stages": {"find": {"median_ms", "p95_ms", "min_ms"}, ...}}]}.
      """)

  @OptionGroup var options: BenchOptions

  @OptionGroup var steps: StepsOption

  @Option(
    help: "Picture with a face, or a video whose first frame shows one. Default: the sample portrait.",
    completion: .file())
  var picture: String?

  @Option(help: ArgumentHelp("Frame size; the picture is fitted into it.", valueName: "width>x<height"))
  var size = FrameSize(width: 1280, height: 720)

  @Option(help: "GStreamer video format of the frame.")
  var format = "NV12"

  func validate() throws {
    guard gst_video_format_from_string(format) != GST_VIDEO_FORMAT_UNKNOWN,
      PixelFormat(rawValue: format.lowercased()) != nil
    else { throw ValidationError("--format must be one that the element takes, such as I420, NV12, UYVY or BGRx.") }
  }

  func run() throws {
    gst_init(nil, nil)
    guard let path = picture ?? around("meta/sample/portrait.jpg") else {
      throw Failure("the sample's portrait is not beside this program; give a picture with --picture")
    }
    let frame = try BenchFrame(path: path, size: size, format: format)
    var runs: [(trial: Trial, frames: PaintedFrames)] = []
    for precision in options.precision {
      let model = try options.load(precision)
      for threads in options.threadCounts {
        for steps in steps.counts(model) {
          guard let frames = PaintedFrames(frame, model, threads: threads, steps: steps) else {
            throw Failure("no face is found in \(path) at \(size)")
          }
          let labels: [String: JSON] = [
            "precision": .string(precision.rawValue), "threads": .integer(threads), "steps": .integer(steps),
          ]
          runs.append((Trial(labels) { frames.paint() ?? 0 }, frames))
        }
      }
    }
    options.measure(runs.map(\.trial))
    options.report(
      "frame", results: runs.map { result($0.trial, $0.frames, path) }, rows: rows(runs), left: 1)
  }

  private func result(_ trial: Trial, _ frames: PaintedFrames, _ path: String) -> JSON {
    let stages = Stage.allCases.map { ($0.rawValue, JSON.object(frames.samples($0).summary())) }
    let more: [String: JSON] = [
      "picture": .string(path), "width": .integer(size.width), "height": .integer(size.height),
      "format": .string(format), "fps": .number(1000 / trial.samples.mean), "first_ms": .number(frames.first),
      "stages": .object(Dictionary(uniqueKeysWithValues: stages)),
    ]
    return .object(trial.labels.merging(trial.samples.summary(each: true)) { $1 }.merging(more) { $1 })
  }

  /// Three rows for each combination.
  private func rows(_ runs: [(trial: Trial, frames: PaintedFrames)]) -> [[String]] {
    let heading =
      ["precision", "threads", "steps", "frames", "fps", "first", "", "frame"] + Stage.allCases.map(\.rawValue)
    return [heading]
      + runs.flatMap { trial, frames in
        let figures = ["\(trial.samples.count)", fixed(1000 / trial.samples.mean), fixed(frames.first)]
        let times = [trial.samples] + Stage.allCases.map { frames.samples($0) }
        let nothing = [String](repeating: "", count: 6)
        return [
          trial.cells(["precision", "threads", "steps"]) + figures + ["median"] + times.map { fixed($0.median) },
          nothing + ["95 %"] + times.map { fixed($0.quantile(0.95)) },
          nothing + ["least"] + times.map { fixed($0.quantile(0)) },
        ]
      }
  }
}

/// A frame size, written as "1280x720".
struct FrameSize: ExpressibleByArgument, CustomStringConvertible {
  let width, height: Int
  var description: String { "\(width)x\(height)" }

  init(width: Int, height: Int) { (self.width, self.height) = (width, height) }

  init?(argument: String) {
    let sides = argument.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard sides.count == 2, let width = sides[0], let height = sides[1], (64...16384).contains(width),
      (64...16384).contains(height)
    else { return nil }
    self.init(width: width, height: height)
  }
}

/// Frames of one stream at 25 fps, all with the same image.
final class PaintedFrames {
  private static let samples = 640  // of audio per frame

  private let frame: BenchFrame
  private let settings: PaintSettings
  private var pipeline: FramePipeline
  private var timeline = AudioTimeline()
  private var noise = GaussianNoise(seed: 0)
  private var count = 0
  /// Milliseconds of the first frame, then of every stage of the later ones.
  private(set) var first = 0.0
  private var laps: [[Stage: Double]] = []

  /// Nil if no face is found.
  init?(_ frame: BenchFrame, _ model: Model, threads: Int, steps: Int) {
    self.frame = frame
    settings = PaintSettings(steps: steps)
    pipeline = FramePipeline(model: model, threads: threads)
    timeline.append(noise.fill(25 * Self.samples), at: 0)  // the audio is ahead of the video
    guard let first = paint(), paint() != nil else { return nil }
    (self.first, laps) = (first, [])
  }

  /// Milliseconds of one stage, for each frame.
  func samples(_ stage: Stage) -> [Double] { laps.map { $0[stage] ?? 0 } }

  /// Paints the next frame and returns the milliseconds; nil if its face is not found.
  func paint() -> Double? {
    frame.restore()
    let sound = noise.fill(Self.samples)
    let clock = ContinuousClock()
    let began = clock.now
    var (last, lap) = (began, [Stage: Double]())
    func end(_ stage: Stage) {
      let now = clock.now
      lap[stage, default: 0] += last.duration(to: now) / .milliseconds(1)
      last = now
    }
    pipeline.stageEnded = end
    let time = RunningTime(nanoseconds: UInt64(count) * 40_000_000)
    guard let face = pipeline.find(frame.view.view, at: time).faces.first else { return nil }
    timeline.append(sound, at: timeline.end ?? 0)
    pipeline.capture(from: &timeline, at: time)
    let features = pipeline.audioFeatures()
    end(.hear)
    pipeline.paint(frame.view, face: face, features: features, settings: settings)
    count += 1
    laps.append(lap)
    return began.duration(to: last) / .milliseconds(1)
  }
}

/// A frame in memory, laid out as in GStreamer, that can be painted repeatedly.
final class BenchFrame {
  let view: MutableFrameView
  private var (original, painted) = (GstVideoFrame(), GstVideoFrame())

  /// The first frame of a file, scaled to `size`.
  init(path: String, size: FrameSize, format: String) throws {
    let media = try Media(path: path)
    guard !media.pictures.isEmpty else { throw Failure("\(path) has no video stream") }
    let caps = "video/x-raw,format=\(format),width=\(size.width),height=\(size.height),pixel-aspect-ratio=1/1"
    let description = """
      uridecodebin uri="\(media.uri)" ! videoconvert ! videoscale ! videoconvert ! \(caps) ! fakesink name=out
      """
    guard let pipeline = gst_parse_launch(description, nil) else {
      throw Failure("GStreamer cannot build the pipeline, a plugin may be missing")
    }
    defer {
      gst_element_set_state(pipeline, GST_STATE_NULL)
      gst_object_unref(pipeline)
    }
    gst_element_set_state(pipeline, GST_STATE_PAUSED)
    guard gst_element_get_state(pipeline, nil, nil, 20 * 1_000_000_000) == GST_STATE_CHANGE_SUCCESS,
      let sample = lastSample(of: pipeline.element("out"))
    else { throw Failure("cannot decode \(path)") }
    defer { gst_sample_unref(sample) }
    var info = GstVideoInfo()
    guard let buffer = gst_sample_get_buffer(sample), gst_video_info_from_caps(&info, gst_sample_get_caps(sample)) != 0,
      let copy = gst_buffer_new_allocate(nil, info.size, nil)
    else { throw Failure("cannot decode \(path)") }
    defer { gst_buffer_unref(copy) }  // the mapped frame holds a reference
    guard gst_video_frame_map(&original, &info, buffer, GST_MAP_READ) != 0,
      gst_video_frame_map(&painted, &info, copy, GstMapFlags(GST_MAP_READ.rawValue | GST_MAP_WRITE.rawValue)) != 0,
      let view = MutableFrameView(painted)
    else { throw Failure("cannot decode \(path)") }
    self.view = view
  }

  deinit {
    gst_video_frame_unmap(&original)
    gst_video_frame_unmap(&painted)
  }

  /// Restores the original pixels.
  func restore() { gst_video_frame_copy(&painted, &original) }
}
