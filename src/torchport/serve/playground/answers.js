"use strict";
// Draws the answer of each kind of task. Everything a model says is set as text, never as markup.

function element(name, words, kind) {
  const made = document.createElement(name);
  if (words !== undefined) made.textContent = words;
  if (kind) made.className = kind;
  return made;
}

function bars(rows) {
  const list = element("dl", undefined, "bars");
  const most = Math.max(...rows.map(([, value]) => Math.abs(value)), 1e-9);
  const whole = rows.every(([, value]) => value >= 0 && value <= 1) ? 1 : most;
  for (const [label, value] of rows) {
    const track = element("div", undefined, "track");
    const bar = element("div", undefined, "bar");
    bar.style.width = `${Math.max(0, (100 * Math.abs(value)) / whole)}%`;
    track.append(bar);
    const cell = element("dd");
    cell.append(track);
    list.append(element("dt", label), cell, element("dd", value.toFixed(3), "number"));
  }
  return list;
}

async function boxes(found, file) {
  const picture = await createImageBitmap(file);
  const canvas = element("canvas");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  const size = Math.max(12, Math.round(Math.max(canvas.width, canvas.height) / 45));
  pen.font = `${size}px system-ui, sans-serif`;
  pen.lineWidth = Math.max(2, size / 7);
  for (const one of found) {
    const [left, top, right, bottom] = one.box;
    const colour = `hsl(${(one.index * 67) % 360} 90% 45%)`;
    pen.strokeStyle = pen.fillStyle = colour;
    pen.strokeRect(left, top, right - left, bottom - top);
    const words = `${one.label} ${one.score.toFixed(2)}`;
    pen.fillRect(left, Math.max(0, top - size * 1.3), pen.measureText(words).width + 8, size * 1.3);
    pen.fillStyle = "#fff";
    pen.fillText(words, left + 4, Math.max(size, top - size * 0.3));
  }
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", found.map((one) => one.label).join(", ") || "none");
  return canvas;
}

function line(values) {
  const canvas = element("canvas");
  [canvas.width, canvas.height] = [640, 120];
  const pen = canvas.getContext("2d");
  const most = Math.max(...values.map(Math.abs), 1e-9);
  pen.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  pen.beginPath();
  values.forEach((value, i) => pen.lineTo((i * 640) / Math.max(1, values.length - 1), 60 - (55 * value) / most));
  pen.stroke();
  return canvas;
}

function told(answer) {
  const rest = Object.entries(answer).filter(([key]) => key !== "ok");
  return element("pre", JSON.stringify(Object.fromEntries(rest), null, 1));
}

// Parts of a page that show an answer; `sent` is what was asked, a Blob or a text.
async function drawn(answer, sent) {
  if (answer.boxes) return [await boxes(answer.boxes, sent), bars(answer.boxes.map((one) => [one.label, one.score]))];
  if (answer.labels) return [bars(answer.labels.map((one) => [one.label, one.score]))];
  if (answer.keywords) return [bars(answer.keywords.map((one) => [one.keyword, one.score]))];
  if (answer.matches) {
    const rows = answer.matches.map((one) => [one.label, one.score]);
    return [element("p", answer.label || "?", "said"), ...(rows.length ? [bars(rows)] : [])];
  }
  if (answer.embedding) return [element("p", `${answer.embedding.length}`, "quiet"), line(answer.embedding)];
  if (answer.frames) {
    const tracks = new Map();
    for (const frame of answer.frames) {
      for (const one of frame.tracks) tracks.set(one.id, [`${one.label} ${one.id}`, (tracks.get(one.id) || ["", 0])[1] + 1]);
    }
    return [element("p", `${answer.count}`, "said"), bars([...tracks.values()])];
  }
  if (answer.text !== undefined) return [element("p", answer.text, "said")];
  return [told(answer)];
}
