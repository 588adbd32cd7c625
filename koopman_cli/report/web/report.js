"use strict";
// The page is complete without this: tables become sortable and fit small windows, structures can be turned.
(function () {
  function key(cell) {
    var data = cell.querySelector("data");
    var text = data ? data.getAttribute("value") : cell.textContent.trim();
    var number = parseFloat(text.replace("\u2212", "-").replace("[", ""));
    return isNaN(number) ? text.toLowerCase() : number;
  }
  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") { return a - b; }
    if (typeof a === "number") { return -1; }
    if (typeof b === "number") { return 1; }
    return a < b ? -1 : a > b ? 1 : 0;
  }
  function sort(table, column, head) {
    var up = head.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th").forEach(function (th) { th.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    var body = table.tBodies[0];
    Array.from(body.rows)
      .map(function (row, i) { return { row: row, key: key(row.cells[column]), i: i }; })
      .sort(function (a, b) { return (up ? 1 : -1) * compare(a.key, b.key) || a.i - b.i; })
      .forEach(function (item) { body.appendChild(item.row); });
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    Array.from(table.tHead.rows[0].cells).forEach(function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.addEventListener("click", function () { sort(table, column, head); });
      head.textContent = "";
      head.appendChild(button);
      Array.from(table.tBodies[0].rows).forEach(function (row) {
        row.cells[column].dataset.label = button.textContent;
      });
    });
  });

  document.querySelectorAll("table.matrix").forEach(function (table) {
    Array.from(table.tHead.rows[0].cells).forEach(function (head, column) {
      Array.from(table.tBodies[0].rows).forEach(function (row) {
        row.cells[column].dataset.label = head.textContent;
      });
    });
  });

  // A table too wide for its place is shown smaller or, if that is not enough, by rows.
  function fit() {
    document.querySelectorAll("table.sortable, table.matrix").forEach(function (table) {
      var place = table.parentElement;
      table.classList.remove("tight", "cards");
      ["tight", "cards"].forEach(function (way, i, ways) {
        if (place.scrollWidth <= place.clientWidth) { return; }
        table.classList.remove(ways[i - 1]);
        table.classList.add(way);
      });
    });
  }
  fit();
  window.addEventListener("resize", fit);
  document.addEventListener("toggle", fit, true);

  var closed = [];
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details:not([open]):not(.licence)").forEach(function (part) {
      part.open = true;
      closed.push(part);
    });
  });
  window.addEventListener("afterprint", function () {
    closed.splice(0).forEach(function (part) { part.open = false; });
  });

  var told = document.getElementById("structures");
  if (!told || typeof $3Dmol === "undefined") { return; }
  var found = JSON.parse(told.textContent);
  var stages = document.getElementById("viewers");
  var colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"];
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var ground = function () { return dark.matches ? "#202429" : "#ffffff"; };
  var views = [];
  stages.hidden = false;
  try {
    stages.querySelectorAll(".stage").forEach(function (stage) {
      var i = Number(stage.dataset.state), own = colours[i % colours.length];
      var view = $3Dmol.createViewer(stage, { backgroundColor: ground(), antialias: true });
      if (!view) { throw new Error("no WebGL"); }
      view.addModels(found.states[i].pdb, "pdb").forEach(function (model, k) {
        var pale = k === 0 ? 1 : 0.35, atoms = model.selectedAtoms({});
        // The bonds of the topology, not those guessed from distances.
        atoms.forEach(function (atom) { atom.bonds = []; atom.bondOrder = []; });
        found.bonds.forEach(function (pair) {
          atoms[pair[0]].bonds.push(pair[1]); atoms[pair[0]].bondOrder.push(1);
          atoms[pair[1]].bonds.push(pair[0]); atoms[pair[1]].bondOrder.push(1);
        });
        var sticks = { stick: { radius: k === 0 ? 0.14 : 0.07, opacity: pale,
          colorscheme: { prop: "elem", map: Object.assign({}, $3Dmol.elementColors.rasmol, { C: own }) } } };
        var ribbon = { cartoon: { color: own, opacity: pale } };
        model.setStyle({}, found.trace ? { sphere: { radius: 0.5, color: own, opacity: pale } }
          : found.cartoon ? Object.assign({}, ribbon, k === 0 ? { line: {} } : {}) : sticks);
      });
      view.zoomTo();
      view.render();
      views.push(view);
    });
    dark.addEventListener("change", function () {
      views.forEach(function (view) { view.setBackgroundColor(ground()); view.render(); });
    });
    window.koopmanViews = views;
  } catch (error) {
    // Without WebGL the flat picture below says the same.
    stages.hidden = true;
  }
})();
