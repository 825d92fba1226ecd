// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// A dense row-major array of `Float`. Images are `[H, W, C]`, token sequences `[T, C]`, vectors `[C]`.
///
/// The results of layers use memory from the `Workspace`, which reuses it once no tensor refers to it, so a network
/// that has run once allocates nothing.
public struct Tensor: Equatable, Sendable {
  private let sizes: Sizes
  public var values: Values

  private init(_ sizes: Sizes, _ values: Values) { (self.sizes, self.values) = (sizes, values) }

  public init(_ shape: [Int], _ values: some Collection<Float>) {
    precondition(shape.reduce(1, *) == values.count, "a tensor holds as many values as its shape says")
    self.init(shape) { _ = UnsafeMutableBufferPointer(start: $0, count: values.count).initialize(from: values) }
  }

  public init(zeros shape: [Int]) {
    self.init(shape) { $0.initialize(repeating: 0, count: shape.reduce(1, *)) }
  }

  /// `fill` must write every value.
  public init(_ shape: [Int], filledBy fill: (UnsafeMutablePointer<Float>) -> Void) {
    let storage = Storage(capacity: shape.reduce(1, *))
    fill(storage.memory)
    self.init(.listed(shape), Values(storage, shape.reduce(1, *)))
  }

  /// An activation `[H, W, C]` in workspace memory. `fill` must write every value.
  init(_ height: Int, _ width: Int, _ channels: Int, filledBy fill: (UnsafeMutablePointer<Float>) -> Void) {
    self.init(.picture(height, width, channels), Values(leased: height * width * channels, filledBy: fill))
  }

  /// The same for `[T, C]`.
  init(_ rows: Int, _ channels: Int, filledBy fill: (UnsafeMutablePointer<Float>) -> Void) {
    self.init(.rows(rows, channels), Values(leased: rows * channels, filledBy: fill))
  }

  /// The same, with the shape of another tensor.
  init(like other: Tensor, filledBy fill: (UnsafeMutablePointer<Float>) -> Void) {
    self.init(other.sizes, Values(leased: other.values.count, filledBy: fill))
  }

  public var shape: [Int] {
    switch sizes {
    case .picture(let h, let w, let c): [h, w, c]
    case .rows(let t, let c): [t, c]
    case .listed(let shape): shape
    }
  }

  public func reshaped(_ shape: [Int]) -> Tensor {
    precondition(shape.reduce(1, *) == values.count, "a tensor holds as many values as its shape says")
    return Tensor(.listed(shape), values)
  }

  /// The pixels of an image `[H, W, C]` as tokens `[H * W, C]`.
  public var tokens: Tensor {
    let (h, w, c) = picture
    return Tensor(.rows(h * w, c), values)
  }

  /// Tokens `[H * W, C]` as an image of the size of `other`.
  public func asPicture(like other: Tensor) -> Tensor {
    precondition(other.values.count == values.count, "as many pixels as tokens")
    return Tensor(other.sizes, values)
  }

  /// Height, width and channels of an image; a token counts as a pixel.
  var picture: (height: Int, width: Int, channels: Int) {
    switch sizes {
    case .picture(let h, let w, let c): return (h, w, c)
    case .rows(let t, let c): return (t, 1, c)
    case .listed(let shape):
      let channels = shape.last ?? 1
      return shape.count == 3 ? (shape[0], shape[1], channels) : (values.count / max(channels, 1), 1, channels)
    }
  }

  public static func == (a: Tensor, b: Tensor) -> Bool { a.shape == b.shape && a.values == b.values }

  /// The shape. Stored inline for activations, because an array would allocate.
  private enum Sizes: Sendable {
    case picture(Int, Int, Int)
    case rows(Int, Int)
    case listed([Int])
  }
}

/// The values of a tensor, row-major. Copy-on-write: a write copies first if anything else, including the workspace,
/// refers to the memory.
public struct Values: RandomAccessCollection, MutableCollection, Equatable, Sendable {
  private var storage: Storage
  public let count: Int

  fileprivate init(_ storage: Storage, _ count: Int) { (self.storage, self.count) = (storage, count) }

  fileprivate init(leased count: Int, filledBy fill: (UnsafeMutablePointer<Float>) -> Void) {
    self.init(Workspace.shared.lease(count), count)
    fill(storage.memory)
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { count }

  public subscript(index: Int) -> Float {
    get {
      precondition(index >= 0 && index < count, "an index of the tensor")
      return storage.memory[index]
    }
    set {
      precondition(index >= 0 && index < count, "an index of the tensor")
      if !isKnownUniquelyReferenced(&storage) {
        let copy = Storage(capacity: count)
        copy.memory.update(from: storage.memory, count: count)
        storage = copy
      }
      storage.memory[index] = newValue
    }
  }

  public func withUnsafeBufferPointer<Result>(_ body: (UnsafeBufferPointer<Float>) throws -> Result) rethrows -> Result
  {
    try withExtendedLifetime(storage) { try body(UnsafeBufferPointer(start: storage.memory, count: count)) }
  }

  public func withContiguousStorageIfAvailable<Result>(
    _ body: (UnsafeBufferPointer<Float>) throws -> Result
  ) rethrows -> Result? {
    try withUnsafeBufferPointer(body)
  }

  /// The memory, for kernels; valid during `body`.
  func with<Result>(_ body: (UnsafePointer<Float>) -> Result) -> Result {
    withExtendedLifetime(storage) { body(UnsafePointer(storage.memory)) }
  }

  public static func == (a: Values, b: Values) -> Bool { a.elementsEqual(b) }
}
