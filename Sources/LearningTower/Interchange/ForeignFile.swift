import Wording

/// Returns what a file is that is not weights, and what to do about it, or nil if its first bytes do not say.
///
/// Weights are fetched by hand, so that a page, a pointer or an archive often stands in their place.
func foreignKind(_ bytes: [UInt8]) -> String? {
  func starts(_ signature: String) -> Bool { bytes.starts(with: Array(signature.utf8)) }
  if bytes.isEmpty { return "is empty: fetch it again" }
  if starts("version https://git-lfs") {
    return "is a pointer of Git LFS, not the file itself: run 'git lfs pull' where it comes from"
  }
  if bytes.starts(with: legacyMagic) {
    return "was written by PyTorch before 1.6: write it anew with torch.save(torch.load(FILE), FILE) in a newer one"
  }
  if bytes.first == 0x80, bytes.count > 1, (2...5).contains(bytes[1]) {
    return "is a bare pickle, not a file of torch.save: write it anew with torch.save"
  }
  // ir_version, then a string (producer) or message: how exporters begin an ONNX model.
  if bytes.count > 2, bytes[0] == 0x08, (3...20).contains(bytes[1]), [0x12, 0x1a, 0x22, 0x3a].contains(bytes[2]) {
    return "is an ONNX model: give the .pt or .safetensors file that it was exported from"
  }
  for (signature, name) in otherSignatures where bytes.starts(with: signature) { return "is \(name), not weights" }
  for (signature, name) in archiveSignatures where bytes.starts(with: signature) {
    return "is \(name): unpack it first"
  }
  if bytes.count > 262, bytes[257..<262].elementsEqual("ustar".utf8) { return "is a tar archive: unpack it first" }
  if bytes.dropFirst(4).starts(with: Array("TFL3".utf8)) {
    return "is a TensorFlow Lite model: give the .pt file that it was exported from"
  }
  let text = bytes.prefix(512).drop { [0xef, 0xbb, 0xbf, 0x20, 0x09, 0x0a, 0x0d].contains($0) }
  if text.first == UInt8(ascii: "<") {
    return "is a web page or XML, not weights: a link to a page (or to a sign-in) was fetched in place of the file"
  }
  let isText = text.allSatisfy { (0x20..<0x7f).contains($0) || [0x09, 0x0a, 0x0d].contains($0) }
  return isText ? "is text (‘\(String(decoding: text, as: UTF8.self).shortened())’), not weights" : nil
}

/// The number by which files of `torch.save` before 1.6 begin: a pickle of 0x1950a86a20f9469cfc6c.
private let legacyMagic: [UInt8] = [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]

private let otherSignatures: [([UInt8], String)] = [
  ([0x89, 0x48, 0x44, 0x46], "an HDF5 file (of Keras or TensorFlow)"), ([0x89, 0x50, 0x4e, 0x47], "a PNG picture"),
  ([0xff, 0xd8, 0xff], "a JPEG picture"), (Array("%PDF".utf8), "a PDF document"),
  ([0x93] + Array("NUMPY".utf8), "a NumPy array"), ([0x7f] + Array("ELF".utf8), "a program"),
]

private let archiveSignatures: [([UInt8], String)] = [
  ([0x1f, 0x8b], "compressed with gzip"), ([0x28, 0xb5, 0x2f, 0xfd], "compressed with zstd"),
  ([0xfd] + Array("7zXZ".utf8), "compressed with xz"), (Array("BZh".utf8), "compressed with bzip2"),
  (Array("7z".utf8) + [0xbc, 0xaf], "a 7z archive"), (Array("Rar!".utf8), "a RAR archive"),
  ([0x50, 0x4b], "a zip archive"),
]
