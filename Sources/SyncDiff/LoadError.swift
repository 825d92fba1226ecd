// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Tensors

/// Why a model or presenter could not be loaded.
public enum LoadError: Error, Equatable, CustomStringConvertible {
  /// The expected kind of file.
  public enum Kind: String, Sendable { case model, presenter }

  case notFound(Kind, path: String)
  case unreadable(Kind, path: String, why: String)
  /// The file is not a valid file of this kind; `why` lists everything that is wrong with it.
  case malformed(Kind, path: String, why: String)
  case unsupportedProcessor(why: String)

  public var description: String {
    switch self {
    case .notFound(.model, let path): "there is no model file \(path); name one with SYNCDIFF_MODEL or as model"
    case .notFound(.presenter, let path): "there is no presenter file \(path); make one with syncdiff learn"
    case .unreadable(let kind, let path, let why): "the \(kind) file \(path) cannot be read: \(why)"
    case .malformed(let kind, let path, let why): "\(path) is not a usable \(kind): \(why)"
    case .unsupportedProcessor(let why): why
    }
  }
}

extension SafeTensors {
  /// Loads the file at `path`, at most `largest` bytes, as a model or a presenter.
  static func load(
    _ kind: LoadError.Kind, path: String, largest: Int = largestFile
  ) throws(LoadError) -> SafeTensors {
    do {
      return try load(path: path, largest: largest)
    } catch SafeTensorsError.notFound {
      throw .notFound(kind, path: path)
    } catch SafeTensorsError.unreadable(_, let reason) {
      throw .unreadable(kind, path: path, why: reason)
    } catch {
      throw .malformed(kind, path: path, why: error.description)
    }
  }
}
