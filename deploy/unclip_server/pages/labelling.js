"use strict";
// Keys press the buttons that say which key they have (data-key); space, or a press on the button, reveals the picture while it is held.
(() => {
  const show = (on) => document.body.classList.toggle("revealed", on);
  const typing = (target) => target.matches && target.matches("input:not([type=hidden]), textarea, summary");
  const button = document.getElementById("reveal");
  let sent = false;

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === " " && button) {
      event.preventDefault();
      show(true);
      return;
    }
    if (event.repeat || sent) return;
    const asked = [...document.querySelectorAll("button[data-key]:enabled")].find((one) => one.dataset.key.split(" ").includes(event.key.toLowerCase()));
    if (asked) {
      event.preventDefault();
      asked.click();
    }
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && button && !typing(event.target)) {
      event.preventDefault();
      show(false);
    }
  });
  document.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  if (button) {
    button.addEventListener("pointerdown", () => show(true));
    for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => show(false));
  }
  // a picture must not stay open in a window nobody looks at, nor a page from the cache stay locked
  for (const end of ["blur", "pagehide"]) window.addEventListener(end, () => show(false));
  window.addEventListener("pageshow", () => { sent = false; });
})();
