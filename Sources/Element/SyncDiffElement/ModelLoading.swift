// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Loads the model and the presenter, and reports missing or invalid files.

import CGStreamer
import Faces
import GstSyncDiff
import Speech
import SyncDiff
import Tensors

/// A model, and the properties it was loaded and measured for.
struct LoadedModel {
  let model: Model
  let path: String
  let precision: GstSyncDiffPrecision
  let threads: Int
}

/// A presenter, and the path and the model that it was loaded for.
struct LoadedPresenter {
  let presenter: Presenter
  let path: String
  let model: Model
}

extension Stream {
  /// Loads the model and the presenter that the properties ask for, unless they are loaded already. On failure one error is
  /// posted on the bus.
  func load(_ settings: Settings) -> Bool { loadModel(settings) && loadPresenter(settings) }

  private func loadPresenter(_ settings: Settings) -> Bool {
    let (known, model) = state.read { ($0.presenter, $0.model?.model) }
    guard let path = settings.presenter, let model else {
      state.change { $0.presenter = nil }
      return true
    }
    if let known, known.path == path, known.model === model { return true }
    do {
      let loaded = LoadedPresenter(presenter: try Presenter.load(path: path, for: model), path: path, model: model)
      state.change { $0.presenter = loaded }
      log(GST_LEVEL_INFO, model: true, "The presenter \(path) is loaded")
    } catch {
      postError(
        error.problem, error.description,
        debug: "Set the property presenter to the path of a file made by `syncdiff learn`, or to NULL.")
      return false
    }
    return true
  }

  /// Loads the model that the properties ask for and measures how long it paints, unless that is done already. On failure one
  /// error is posted on the bus.
  private func loadModel(_ settings: Settings) -> Bool {
    let path = settings.model ?? defaultModel()
    let known = state.read { $0.model }.flatMap { $0.path == path && $0.precision == settings.precision ? $0 : nil }
    if known?.threads == settings.threads { return true }
    let precision: Precision =
      switch settings.precision {
      case GST_SYNC_DIFF_PRECISION_F32: .f32
      case GST_SYNC_DIFF_PRECISION_BF16: .bf16
      default: .auto
      }
    do {
      postProgress(GST_PROGRESS_TYPE_START, "Loading the model \(path)")
      let began = g_get_monotonic_time()
      let loaded = if let known { known.model } else { try Model.load(path: path, precision: precision) }
      let ready = g_get_monotonic_time()
      let compute = warmUp(loaded, threads: settings.threads)
      state.change { state in
        state.model = LoadedModel(
          model: loaded, path: path, precision: settings.precision, threads: settings.threads)
        state.computeTime = ComputeTime(warmUp: UInt64(compute))
      }
      postProgress(GST_PROGRESS_TYPE_COMPLETE, "The model is loaded, a frame takes \(compute / 1_000_000) ms")
      if precision == .bf16, !multipliesBF16 {
        log(GST_LEVEL_INFO, model: true, "bf16 would be slower than f32 on this processor, so f32 is computed")
      }
      postReady(
        precision, load: ready - began, warmUp: g_get_monotonic_time() - ready, path: path, licence: loaded.licence)
    } catch {
      postProgress(GST_PROGRESS_TYPE_ERROR, "The model is not loaded")
      postError(
        error.problem, error.description,
        debug: "Set the property model or the environment variable SYNCDIFF_MODEL to the path of a syncdiff model.")
      return false
    }
    return true
  }

  /// Paints a grey frame twice, and returns the time of the second, in nanoseconds.
  private func warmUp(_ model: Model, threads: Int) -> GstClockTime {
    let side = 256
    let grey = UnsafeMutableRawPointer.allocate(byteCount: side * side * 3, alignment: 64)
    defer { grey.deallocate() }
    grey.initializeMemory(as: UInt8.self, repeating: 128, count: side * side * 3)
    let frame = MutableFrameView(
      format: .rgb, width: side, height: side, planes: [(base: grey, stride: side * 3)],
      colorimetry: Colorimetry(.bt709, .full))
    guard let frame, let face = model.face(side: side) else { return 0 }
    var timeline = AudioTimeline()
    var pipeline = FramePipeline(model: model, threads: threads)
    var began = g_get_monotonic_time()
    for round in 0..<2 {
      if round == 1 { began = g_get_monotonic_time() }
      let time = RunningTime(nanoseconds: UInt64(round) * Waiting.usualFrame)
      _ = pipeline.find(frame.view, at: time)
      pipeline.capture(from: &timeline, at: time)
      let features = pipeline.audioFeatures()
      pipeline.paint(frame, face: face, features: features, settings: PaintSettings(steps: model.configuration.steps))
    }
    return GstClockTime(clamping: g_get_monotonic_time() - began) * 1000
  }
}

extension LoadError {
  fileprivate var problem: Problem {
    switch self {
    case .notFound: .resource(GST_RESOURCE_ERROR_NOT_FOUND)
    case .unreadable: .resource(GST_RESOURCE_ERROR_OPEN_READ)
    case .malformed: .stream(GST_STREAM_ERROR_FORMAT)
    case .unsupportedProcessor: .library(GST_LIBRARY_ERROR_INIT)
    }
  }
}
