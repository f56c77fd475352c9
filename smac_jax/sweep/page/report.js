"use strict";
// What the curves say at the place that the pointer is over.
for (const figure of document.querySelectorAll("figure[data-panels]")) {
  const canvas = figure.querySelector(".canvas");
  const svg = canvas.querySelector("svg");
  const panels = JSON.parse(figure.dataset.panels);
  const view = svg.viewBox.baseVal;
  const tip = canvas.appendChild(document.createElement("div"));
  const cursor = svg.appendChild(document.createElementNS(svg.namespaceURI, "line"));
  tip.className = "tip";
  cursor.setAttribute("class", "cursor");

  const hide = () => {
    tip.hidden = true;
    cursor.style.display = "none";
  };

  const show = (event) => {
    const place = svg.getBoundingClientRect();
    const x = ((event.clientX - place.left) / place.width) * view.width;
    const y = ((event.clientY - place.top) / place.height) * view.height;
    const panel = panels.find(({ box }) => x >= box[0] && y >= box[1] && x <= box[2] && y <= box[3]);
    const places = panel ? panel.series.flatMap((series) => series.x) : [];
    if (!places.length) return hide();
    const nearest = places.reduce((best, at) => (Math.abs(at - x) < Math.abs(best - x) ? at : best));
    const lines = [];
    let steps = "";
    for (const series of panel.series) {
      const i = series.x.indexOf(nearest);
      if (i < 0) continue;
      steps = steps || series.steps[i];
      const line = document.createElement("div");
      line.appendChild(document.createElement("i")).style.background = series.color;
      line.append(`${series.label}: ${series.values[i]}`);
      lines.push(line);
    }
    const head = document.createElement("b");
    head.textContent = steps;
    tip.replaceChildren(head, ...lines);
    tip.hidden = false;
    cursor.style.display = "";
    for (const [name, value] of [["x1", nearest], ["x2", nearest], ["y1", panel.box[1]], ["y2", panel.box[3]]]) {
      cursor.setAttribute(name, value);
    }
    const left = (nearest / view.width) * place.width;
    tip.style.left = `${Math.max(0, Math.min(left + 10, place.width - tip.offsetWidth))}px`;
    tip.style.top = `${(panel.box[1] / view.height) * place.height}px`;
  };

  hide();
  canvas.addEventListener("pointermove", show);
  canvas.addEventListener("pointerdown", show);
  canvas.addEventListener("pointerleave", hide);
}
