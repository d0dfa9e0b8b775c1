/* What the page does without asking the server: switching views on narrow screens, zooming the page
   image, following a growing answer, and bringing a newly shown passage into sight. Reads no document text. */
"use strict";

(() => {
  document.documentElement.lang = "en";

  function show(view) {
    const columns = document.getElementById("at-columns");
    if (!columns) return;
    columns.dataset.view = view;
    requestAnimationFrame(() => settle(true));
    for (const button of document.querySelectorAll("[data-local=view]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
    }
  }

  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target.closest("[data-local], [data-act]") : null;
    if (!target) return;
    if (target.dataset.local === "view") show(target.dataset.view);
    if (target.dataset.local === "zoom") {
      const column = document.getElementById("at-evidence-column");
      column.dataset.zoomed = String(column.dataset.zoomed !== "true");
      settle(true);
    }
    const act = target.dataset.act;
    if (act === "citation" || (act === "passage" && !target.closest("#at-evidence"))) show("evidence");
    if (act === "suggest") show("ask");
  });

  /* Mark the source whose page the panel shows. */
  function point() {
    const panel = document.querySelector("#at-evidence .at-evidence");
    for (const source of document.querySelectorAll(".at-source[data-n]")) {
      const current = panel && panel.dataset.turn === source.dataset.turn && panel.dataset.n === source.dataset.n;
      source.classList.toggle("at-current", Boolean(current));
    }
  }

  /* Keep the end of a growing answer in sight, unless the reader scrolled away from it. When the answer
     is complete nothing moves, so that its beginning is not pushed out of sight by its citations. */
  let following = true;
  let answering = false;
  document.addEventListener(
    "scroll",
    (event) => {
      const thread = event.target;
      if (thread instanceof Element && thread.id === "at-thread") {
        following = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 80;
      }
    },
    true,
  );

  function follow() {
    const thread = document.getElementById("at-thread");
    const live = document.querySelector("#at-live .at-turn");
    if (!thread) return;
    if (live && !answering) following = true;
    answering = Boolean(live);
    if (live && following) thread.scrollTop = thread.scrollHeight;
  }

  function refresh() {
    follow();
    point();
    settle(false);
  }

  /* Scroll the frame, and only the frame, so that the passage is in its middle. */
  function settle(force) {
    const frame = document.querySelector("#at-evidence .at-frame");
    if (!frame || (!force && frame.dataset.settled === frame.dataset.key)) return;
    const mark = frame.querySelector(".at-outline, .at-passage");
    if (frame.clientHeight === 0) return;
    frame.dataset.settled = frame.dataset.key;
    if (!mark) {
      frame.scrollTop = 0;
      return;
    }
    const outer = frame.getBoundingClientRect();
    const inner = mark.getBoundingClientRect();
    const room = Math.max((outer.height - inner.height) / 2, 24);
    frame.scrollTop += inner.top - outer.top - room;
    frame.scrollLeft += inner.left - outer.left - Math.max((outer.width - inner.width) / 2, 12);
  }

  new MutationObserver(() => requestAnimationFrame(refresh)).observe(document.body, {
    childList: true,
    subtree: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["data-key", "data-n"],
  });
})();
