"use strict";
// Sorting by a click on a column's head; equal rows keep their order. Numbers stand in data-key, the rest is compared as text.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => {
      const cell = row.children[column];
      return cell.dataset.key === undefined ? cell.textContent.trim() : Number(cell.dataset.key);
    };
    const order = (a, b) => {
      const x = key(a), y = key(b);
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1; // what has no number comes last
      const sign = typeof x === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true });
      return down ? -sign : sign;
    };
    body.append(...[...body.rows].sort(order));
  });
}
// The filter hides rows of the settings' tables, and groups without any left.
const search = document.querySelector("#search"), verdict = document.querySelector("#verdict");
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const table of document.querySelectorAll("table.comparisons")) {
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word)) && (!verdict.value || row.dataset.verdicts.split(" ").includes(verdict.value));
      row.hidden = !fits;
      shown += fits;
    }
    table.closest("details").hidden = shown === 0;
  }
}
if (search) {
  search.addEventListener("input", filter);
  verdict.addEventListener("change", filter);
  search.form.addEventListener("submit", (event) => event.preventDefault());
}
// A link into something folded opens it.
function unfold() {
  const target = document.getElementById(location.hash.slice(1));
  if (target) for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
}
addEventListener("hashchange", unfold);
unfold();
// What pointing at a cell tells, a tap tells at the foot of the window, until the next.
const explanation = document.querySelector("#explanation");
document.addEventListener("click", (event) => {
  const cell = event.target.closest("td[title]");
  explanation.textContent = cell ? cell.title : "";
  explanation.hidden = !explanation.textContent;
});
