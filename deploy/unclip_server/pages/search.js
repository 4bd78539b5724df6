"use strict";
// Keys move between the pictures found; a picture that is dropped, pasted or chosen is asked with.
(() => {
  const words = document.getElementById("words");
  const file = document.getElementById("file");
  const choose = document.getElementById("choose");
  const tiles = [...document.querySelectorAll("#found li > a")];
  const form = document.getElementById("ask");

  async function askWith(picture) {
    const answer = await fetch("/picture-query", { method: "POST", body: picture });
    const said = await answer.json();
    if (answer.ok) {
      const kept = new URLSearchParams(new FormData(form));
      kept.delete("q");
      location.assign(`${said.address}&${kept}`);
      return;
    }
    const note = document.createElement("p");
    note.className = "note";
    note.setAttribute("role", "alert");
    note.textContent = `${said.error[0].toUpperCase()}${said.error.slice(1)}.`;
    document.querySelector("main").prepend(note);
  }

  function across() {
    const top = tiles[0].getBoundingClientRect().top;
    return Math.max(1, tiles.filter((tile) => tile.getBoundingClientRect().top === top).length);
  }

  function move(step) {
    const at = tiles.indexOf(document.activeElement.closest("li")?.querySelector("a"));
    const next = at < 0 ? 0 : at + step;
    if (tiles[next]) tiles[next].focus();
  }

  const steps = { ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: across, ArrowUp: () => -across() };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inField = event.target.matches("input, select, textarea");
    if (event.key === "Escape" && inField && tiles.length) tiles[0].focus();
    else if (event.key === "ArrowDown" && event.target === words && tiles.length) tiles[0].focus();
    else if (inField) return;
    else if (event.key === "/") { words.focus(); words.select(); }
    else if (event.key === "p") file.click();
    else if (event.key === "i") {
      const about = document.activeElement.closest("li")?.querySelector("details");
      if (about) about.open = !about.open;
    } else if (event.key in steps && tiles.length) move(steps[event.key]());
    else return;
    event.preventDefault();
  });

  choose.hidden = false;
  choose.addEventListener("click", () => file.click());
  file.addEventListener("change", () => { if (file.files[0]) askWith(file.files[0]); });
  document.addEventListener("paste", (event) => {
    const picture = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (picture) { event.preventDefault(); askWith(picture); }
  });
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    if (event.dataTransfer.files[0]) askWith(event.dataTransfer.files[0]);
  });
})();
