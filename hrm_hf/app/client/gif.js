// A GIF of the thinking, one frame per segment: GIF89a with one palette and LZW, as specified by CompuServe.

const GIF_LEVELS = 6; // of red, green and blue; the rest of the 256 colors are grays

/** Palette indices of the pixels of a picture (RGBA). */
function inPalette(pixels) {
  const numbers = new Uint8Array(pixels.length / 4);
  for (let index = 0; index < numbers.length; index++) {
    const [r, g, b] = [pixels[4 * index], pixels[4 * index + 1], pixels[4 * index + 2]];
    const grays = 256 - GIF_LEVELS ** 3;
    if (Math.max(r, g, b) - Math.min(r, g, b) < 12) {
      numbers[index] = GIF_LEVELS ** 3 + Math.round((g / 255) * (grays - 1));
    } else {
      const level = (value) => Math.round((value / 255) * (GIF_LEVELS - 1));
      numbers[index] = (level(r) * GIF_LEVELS + level(g)) * GIF_LEVELS + level(b);
    }
  }
  return numbers;
}

function palette() {
  const colors = [];
  const scale = 255 / (GIF_LEVELS - 1), grays = 256 - GIF_LEVELS ** 3;
  for (let r = 0; r < GIF_LEVELS; r++)
    for (let g = 0; g < GIF_LEVELS; g++) for (let b = 0; b < GIF_LEVELS; b++) colors.push(r * scale, g * scale, b * scale);
  for (let gray = 0; gray < grays; gray++) colors.push(...Array(3).fill(Math.round((gray * 255) / (grays - 1))));
  return colors;
}

/** LZW of bytes, in blocks of at most 255 bytes. */
function lzw(numbers) {
  const CLEAR = 256, END = 257, MOST = 4095;
  const bytes = [];
  let size = 9, codes = new Map(), next = END + 1, bits = 0, buffer = 0;
  const write = (code) => {
    buffer |= code << bits;
    bits += size;
    for (; bits >= 8; bits -= 8, buffer >>>= 8) bytes.push(buffer & 255);
  };
  write(CLEAR);
  let prefix = numbers[0];
  for (let index = 1; index < numbers.length; index++) {
    const longer = (prefix << 8) | numbers[index];
    const known = codes.get(longer);
    if (known !== undefined) {
      prefix = known;
      continue;
    }
    write(prefix);
    if (next > MOST) {
      write(CLEAR);
      size = 9;
      codes = new Map();
      next = END + 1;
    } else {
      if (next === 1 << size) size++;
      codes.set(longer, next++);
    }
    prefix = numbers[index];
  }
  write(prefix);
  write(END);
  if (bits > 0) bytes.push(buffer & 255);
  const blocks = [];
  for (let start = 0; start < bytes.length; start += 255) {
    const block = bytes.slice(start, start + 255);
    blocks.push(block.length, ...block);
  }
  return [8, ...blocks, 0];
}

/** A GIF that repeats: `frames` are palette indices, `delays` hundredths of a second. */
function encodeGif(frames, delays, width, height) {
  const word = (value) => [value & 255, value >> 8];
  const parts = [
    [..."GIF89a"].map((letter) => letter.charCodeAt(0)),
    [...word(width), ...word(height), 0xf7, 0, 0],
    palette(),
    [0x21, 0xff, 11, ...[..."NETSCAPE2.0"].map((letter) => letter.charCodeAt(0)), 3, 1, 0, 0, 0],
  ];
  frames.forEach((frame, index) => {
    parts.push([0x21, 0xf9, 4, 4, ...word(delays[index]), 0, 0]);
    parts.push([0x2c, 0, 0, 0, 0, ...word(width), ...word(height), 0]);
    parts.push(lzw(frame));
  });
  parts.push([0x3b]);
  return new Blob(parts.map((part) => new Uint8Array(part)), { type: "image/gif" });
}
