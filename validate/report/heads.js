"use strict";
const data = JSON.parse(document.querySelector("#data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#2f6db5", "#c2571a", "#5b8f3c", "#8a5fb0", "#b08a2e", "#7a7a7a"];
const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const named = (head) => `L${head.layer}H${head.head}`;

function element(parent, name, attributes = {}, text = "") {
  const one = parent.namespaceURI === SVG || name === "svg" ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  if (text) one.textContent = text;
  parent.append(one);
  return one;
}

// What is under the pointer, beside it.
const tip = document.querySelector("#tip");
function tell(text, x, y) {
  tip.textContent = text;
  tip.hidden = !text;
  if (!text) return;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 4))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(4, y - box.height - 10) : y + 18}px`;
}

// Blue for positive, orange for negative, the page's ground for zero: told apart without red and green.
function colour(share) {
  const strength = Math.min(1, Math.abs(share));
  const [r, g, b] = share < 0 ? [194, 87, 26] : [31, 95, 168];
  return `rgba(${r}, ${g}, ${b}, ${(0.04 + 0.96 * strength).toFixed(3)})`;
}

// A map of heads: `cells` have layer, head, value (which colours them), exceeds and text.
function map(parent, title, caption, cells) {
  const figure = element(parent, "figure");
  const legend = element(figure, "figcaption");
  element(legend, "b", {}, title);
  const largest = Math.max(1e-12, ...cells.map((cell) => Math.abs(cell.value)));
  legend.append(` ${caption}; strongest colour ${largest.toPrecision(2)}`);
  const layers = data.layers, heads = data.heads_of_a_layer, size = 12, left = 30, top = 4;
  const svg = element(figure, "svg", {
    class: "map", viewBox: `0 0 ${left + layers * size + 2} ${top + heads * size + 26}`, tabindex: 0, role: "application", "aria-label": `${title}: map of heads`,
  });
  const by = new Map(cells.map((cell) => [`${cell.layer} ${cell.head}`, cell]));
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < heads; head++) {
      const cell = by.get(`${layer} ${head}`);
      const one = element(svg, "rect", { x: left + layer * size + 1, y: top + head * size + 1, width: size - 2, height: size - 2 });
      if (!cell) { one.setAttribute("class", "none"); continue; }
      one.setAttribute("class", `head${cell.exceeds ? " exceeds" : ""}`);
      one.dataset.name = named(cell);
      one.style.fill = colour(cell.value / largest);
      one.addEventListener("pointermove", (event) => tell(cell.text, event.clientX, event.clientY));
      one.addEventListener("pointerleave", () => tell(""));
      one.addEventListener("click", (event) => { choose(named(cell)); tell(cell.text, event.clientX, event.clientY); });
    }
  }
  const every = (count, room) => Math.max(1, Math.ceil(count / room));
  for (let layer = 0; layer < layers; layer += every(layers, 10)) element(svg, "text", { x: left + (layer + 0.5) * size, y: top + heads * size + 12, "text-anchor": "middle" }, String(layer));
  for (let head = 0; head < heads; head += every(heads, 8)) element(svg, "text", { x: left - 4, y: top + (head + 0.8) * size, "text-anchor": "end" }, String(head));
  element(svg, "text", { x: left + layers * size / 2, y: top + heads * size + 24, "text-anchor": "middle" }, "layer");
  element(svg, "text", { x: 8, y: top + heads * size / 2, "text-anchor": "middle", transform: `rotate(-90 8 ${top + heads * size / 2})` }, "head");
  // With the keyboard: arrows move, Enter chooses.
  let place = [0, 0];
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const cell = by.get(place.join(" "));
    if (event.key === "Enter" && cell) choose(named(cell));
    if (!move) return;
    event.preventDefault();
    place = [Math.min(layers - 1, Math.max(0, place[0] + move[0])), Math.min(heads - 1, Math.max(0, place[1] + move[1]))];
    const next = by.get(place.join(" ")), shown = svg.children[place[0] * heads + place[1]];
    const box = shown.getBoundingClientRect();
    tell(next ? next.text : "no such head", box.x, box.y);
    for (const one of document.querySelectorAll("svg.map rect.chosen")) one.classList.remove("chosen");
    shown.classList.add("chosen");
  });
  svg.addEventListener("blur", () => tell(""));
}

for (const score of data.scores) {
  const unit = score.unit === "share" ? "" : ` ${score.unit}`;
  map(document.querySelector("#scores"), score.name, `above control; chance ${number(score.chance)}`, score.heads.map((head) => ({
    ...head, value: head.mean - head.control,
    text: `${named(head)} ${score.name}\n${number(head.mean)}${unit} (95%: ${number(head.low)} … ${number(head.high)})\ncontrol ${number(head.control)}, adjusted p ${head.p === null ? "–" : head.p.toPrecision(2)}`,
  })));
}
if (data.ablation && !data.ablation.problem) {
  map(document.querySelector("#each"), "each head ablated alone", `change of the second copy's loss, nats, on ${data.ablation.shown}`, data.ablation.each.map((head) => ({
    ...head, exceeds: head.low > 0 || head.high < 0,
    text: `${named(head)} ablated\n${number(head.value)} nats (95%: ${number(head.low)} … ${number(head.high)})`,
  })));
}
for (const entry of data.importance || []) {
  map(document.querySelector("#importances"), entry.task, entry.unit, entry.heads.map((head) => ({
    ...head, exceeds: false,
    text: `${named(head)} importance for ${entry.task}\n${number(head.value, 4)} (95%: ${number(head.low, 4)} … ${number(head.high, 4)})\nas released ${head.released.toPrecision(3)}`,
  })));
}

// Attention of a chosen head.
const select = document.querySelector("#head"), canvas = document.querySelector("#pattern"), words = document.querySelector("#tokens");
let from = null;
function choose(name) {
  for (const one of document.querySelectorAll("svg.map rect")) one.classList.toggle("chosen", one.dataset.name === name);
  if (!select || !(name in data.attention.patterns)) return;
  select.value = name;
  draw();
}
function draw() {
  const pattern = data.attention.patterns[select.value], length = pattern.length;
  canvas.width = canvas.height = length;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, length, length);
  for (let t = 0; t < length; t++) for (let s = 0; s <= t; s++) {
    context.fillStyle = colour(pattern[t][s]);
    context.fillRect(s, t, 1, 1);
  }
  look(from);
}
function look(query) {
  from = query;
  const pattern = data.attention.patterns[select.value];
  [...words.children].forEach((one, s) => {
    one.classList.toggle("query", s === query);
    one.style.background = query === null || s > query ? "" : colour(pattern[query][s]);
  });
}
if (select) {
  for (const name of Object.keys(data.attention.patterns)) element(select, "option", { value: name }, name);
  select.addEventListener("change", () => choose(select.value));
  data.attention.tokens.forEach((text, place) => {
    const one = element(words, "span", { tabindex: 0 }, text.replace(/\n/g, "⏎") || "∅");
    const show = () => look(place);
    one.addEventListener("pointerenter", show);
    one.addEventListener("focus", show);
    one.addEventListener("click", show);
  });
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect(), length = canvas.width;
    const at = (offset, extent) => Math.min(length - 1, Math.max(0, Math.floor(offset / extent * length)));
    const t = at(event.clientY - box.y, box.height), s = at(event.clientX - box.x, box.width);
    const pattern = data.attention.patterns[select.value], tokens = data.attention.tokens;
    tell(s > t ? "" : `from “${tokens[t]}” (${t}) to “${tokens[s]}” (${s}): ${number(pattern[t][s])}`, event.clientX, event.clientY);
  });
  canvas.addEventListener("pointerleave", () => tell(""));
  choose(data.attention.first);
}

// A chart of lines: series have name, colour, points [x, y, low, high] and may be thin or dashed.
function chart(parent, title, xLabel, yLabel, series, logarithmic = false) {
  const figure = element(parent, "figure"), width = 460, height = 260, left = 46, right = 8, top = 8, bottom = 36;
  element(element(figure, "figcaption"), "b", {}, title);
  const svg = element(figure, "svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${yLabel} against ${xLabel}` });
  const points = series.flatMap((line) => line.points), scale = logarithmic ? Math.log : (x) => x;
  const xs = points.map((point) => point[0]), ys = points.flatMap((point) => point.slice(1).filter((y) => y !== null));
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const pad = 0.05 * (y1 - y0 || 1);
  const x = (value) => left + (scale(value) - scale(x0)) / (scale(x1) - scale(x0) || 1) * (width - left - right);
  const y = (value) => height - bottom - (value - y0 + pad) / (y1 - y0 + 2 * pad) * (height - top - bottom);
  for (const tick of ticks(y0, y1)) {
    element(svg, "line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) });
    element(svg, "text", { x: left - 5, y: y(tick) + 4, "text-anchor": "end" }, String(+tick.toPrecision(6)));
  }
  for (const tick of logarithmic ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].filter((t) => t >= x0 && t <= x1) : ticks(x0, x1))
    element(svg, "text", { x: x(tick), y: height - bottom + 14, "text-anchor": "middle" }, String(+tick.toPrecision(6)));
  element(svg, "rect", { class: "frame", x: left, y: top, width: width - left - right, height: height - top - bottom });
  element(svg, "text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel);
  element(svg, "text", { x: 11, y: height / 2 - 10, "text-anchor": "middle", transform: `rotate(-90 11 ${height / 2 - 10})` }, yLabel);
  const legend = element(figure, "div", { class: "legend" });
  for (const line of series) {
    const path = line.points.map(([a, b], n) => `${n ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
    const one = element(svg, "path", { d: path, stroke: line.colour });
    if (line.thin) one.style.strokeWidth = 0.8;
    if (line.dashed) one.style.strokeDasharray = "4 3";
    for (const [a, b, low, high] of line.points) {
      if (low !== undefined && low !== null && !line.thin) element(svg, "line", { class: "bar", x1: x(a), x2: x(a), y1: y(low), y2: y(high), stroke: line.colour });
      const dot = element(svg, "circle", { cx: x(a), cy: y(b), r: 7, fill: "transparent" });
      dot.addEventListener("pointermove", (event) => tell(`${line.name}\n${xLabel} ${+a.toPrecision(4)}: ${number(b)}${low === undefined || low === null ? "" : ` (95%: ${number(low)} … ${number(high)})`}`, event.clientX, event.clientY));
      dot.addEventListener("pointerleave", () => tell(""));
    }
    if (line.unnamed) continue;
    const entry = element(legend, "span");
    element(entry, "i", {}).style.background = line.colour;
    entry.append(line.name);
  }
}
function ticks(low, high) {
  const rough = (high - low || 1) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const all = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9 * step; tick += step) all.push(Math.abs(tick) < 1e-9 * step ? 0 : tick);
  return all;
}

if (data.text) {
  // Bins of equal width on a logarithmic axis, as far as positions are whole numbers.
  const binned = (losses) => {
    const bins = new Map();
    losses.forEach((loss, n) => {
      const bin = Math.round(6 * Math.log2(n + 1));
      const [count, position, total] = bins.get(bin) || [0, 0, 0];
      bins.set(bin, [count + 1, position + n + 1, total + loss]);
    });
    return [...bins.values()].map(([count, position, total]) => [position / count, total / count]);
  };
  const names = { none: "intact", these: "these", others: "others" };
  chart(document.querySelector("#losses"), "", "position", "loss / nats per token", data.text.rows.map((row, n) => ({
    name: names[row.ablated], colour: COLOURS[Math.min(n, 2)], points: binned(row.by_position), thin: row.ablated === "others", unnamed: n > 2,
  })), true);
}
for (const entry of data.pruning || []) {
  const orders = [...new Set(entry.rows.map((row) => row.order))];
  const lines = orders.map((order, n) => ({
    name: order.startsWith("random") ? "random orders" : order, colour: COLOURS[Math.min(n, 3)], thin: order.startsWith("random"), unnamed: n > 3,
    points: entry.rows.filter((row) => row.order === order).map((row) => [row.percent, row.accuracy.value, row.accuracy.low, row.accuracy.high]),
  }));
  if (entry.guessing) lines.push({ name: "guessing", colour: COLOURS[5], dashed: true, points: [[0, entry.guessing], [90, entry.guessing]] });
  chart(document.querySelector("#curves"), `accuracy on ${entry.task}`, "percent of heads removed", "accuracy", lines);
  const capacity = Object.entries(entry.capacity).map(([name, left], n) => ({ name, colour: COLOURS[n], points: left.map((value, m) => [entry.percent[m], value]) }));
  capacity.push({ name: "by chance", colour: COLOURS[5], dashed: true, points: [[0, 1], [90, 0.1]] });
  chart(document.querySelector("#curves"), `scores left, by importance for ${entry.task}`, "percent of heads removed", "share left", capacity);
}
