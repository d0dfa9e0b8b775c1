/* What the page does without asking the server: switching views, zooming the page image, following a growing
   answer, bringing a newly shown passage into sight, showing the card of a sentence that is pointed at, copying
   an answer, opening sheets, keys, keeping the open conversation in the address, and keeping the keyboard's
   place in a list that is made anew. */
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
    if (target.dataset.local === "side") side(target.dataset.side);
    if (target.dataset.local === "copy") copy(target);
    if (target.dataset.local === "wide") widen(target);
    if (target.dataset.local === "help") document.getElementById("at-help").showModal();
    if (target.dataset.local === "close") target.closest("dialog").close();
    if (target.dataset.local === "zoom") {
      const column = document.getElementById("at-evidence-column");
      column.dataset.zoomed = String(column.dataset.zoomed !== "true");
      settle(true);
    }
    const act = target.dataset.act;
    if (act === "citation" || (act === "passage" && !target.closest("#at-evidence"))) show("evidence");
    if (["suggest", "open", "ask", "ask-picked"].includes(act)) show("ask");
    if (act === "ask" || act === "ask-picked" || act === "edit") toQuestion();
    if (act === "ask" || act === "ask-picked") widen(null, false);
    asked = ASKED[act] ?? null;
  });

  /* The list of documents over the whole width, with columns. */
  function widen(button, wide) {
    const columns = document.getElementById("at-columns");
    button = button || document.querySelector("[data-local=wide]");
    columns.dataset.wide = String(wide ?? columns.dataset.wide !== "true");
    if (button) button.setAttribute("aria-pressed", columns.dataset.wide);
  }

  /* Sheets open when they come, and Escape asks the server to take them away where it has to know. */
  function unfold() {
    for (const sheet of document.querySelectorAll("dialog[data-opens]:not([open])")) {
      delete sheet.dataset.opens;
      sheet.showModal();
      const field = sheet.querySelector(".at-field");
      field?.focus();
      field?.select?.();
    }
  }
  document.addEventListener("cancel", (event) => {
    const leave = event.target instanceof Element && event.target.querySelector("[data-act=close]");
    if (leave) {
      event.preventDefault();
      leave.click();
    }
  }, true);

  function toQuestion() {
    const field = document.querySelector("#at-question textarea, #at-question input");
    if (field) field.focus();
  }

  /* The next or the previous citation of the answer whose page is shown. */
  function cite(step) {
    const panel = document.querySelector("#at-evidence .at-evidence");
    const turns = [...document.querySelectorAll("#at-past .at-turn")];
    const turn = turns.find((each) => each.querySelector(".at-source.at-current")) || turns[turns.length - 1];
    if (!panel || !turn) return;
    const sources = [...turn.querySelectorAll(".at-sources .at-source")];
    const at = sources.findIndex((source) => source.classList.contains("at-current"));
    const next = sources[(at + step + sources.length) % sources.length];
    if (next) {
      next.click();
      next.scrollIntoView({block: "nearest"});
    }
  }

  function last(selector) {
    const all = document.querySelectorAll(selector);
    return all[all.length - 1];
  }

  const KEYS = {
    "/": toQuestion,
    n: () => cite(1),
    p: () => cite(-1),
    "+": () => document.querySelector("[data-local=zoom]")?.click(),
    c: () => last("#at-past [data-local=copy]")?.click(),
    e: () => last("#at-past [data-act=edit]")?.click(),
    f: () => {
      show("documents");
      side("documents");
      document.querySelector(".at-find")?.focus();
    },
    w: () => widen(null),
    "?": () => document.getElementById("at-help").showModal(),
  };

  document.addEventListener("keydown", (event) => {
    let place = event.target instanceof Element ? event.target : document.body;
    if (place.closest("dialog:not([open])")) place = document.body;  // a shut sheet has the keys until the next frame
    const sheet = place.closest("dialog");
    if (event.key === "Enter" && sheet && place.matches("input.at-field")) {
      event.preventDefault();
      sheet.querySelector(".at-primary")?.click();
      return;
    }
    const writing = place.matches("input:not([type=checkbox]):not([type=radio]), textarea, select");
    if (event.key === "Escape" && writing && !sheet) place.blur();
    if (writing || sheet || event.ctrlKey || event.metaKey || event.altKey) return;
    if (KEYS[event.key]) {
      event.preventDefault();
      KEYS[event.key]();
    }
  });

  /* Documents or conversations, on the left. */
  function side(name) {
    document.getElementById("at-library").dataset.side = name;
    for (const button of document.querySelectorAll("[data-local=side]")) {
      button.setAttribute("aria-pressed", String(button.dataset.side === name));
    }
  }

  async function copy(button) {
    const words = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copying is not allowed here";
    }
    setTimeout(() => { button.textContent = words; }, 1500);
  }

  /* The card of the sentence that is pointed at or focused, below its last line. */
  function sentenceAt(event) {
    return event.target instanceof Element ? event.target.closest(".at-sentence") : null;
  }

  function lay(sentence) {
    for (const card of document.querySelectorAll(".at-card:not([hidden])")) card.hidden = true;
    for (const other of document.querySelectorAll(".at-sentence.at-pointed")) other.classList.remove("at-pointed");
    if (!sentence) return;
    const answer = sentence.closest(".at-answer");
    const same = `[data-sentence="${sentence.dataset.sentence}"]`;
    const spans = [...answer.querySelectorAll(`.at-sentence${same}`)];
    for (const span of spans) span.classList.add("at-pointed");
    const card = answer.querySelector(`.at-card${same}`);
    if (!card) return;
    card.hidden = false;
    const bottom = spans[spans.length - 1].getBoundingClientRect().bottom;
    card.style.top = `${bottom - answer.getBoundingClientRect().top + 4}px`;
  }

  let leaving = 0;
  document.addEventListener("pointerover", (event) => {
    const card = event.target instanceof Element && event.target.closest(".at-card");
    const sentence = sentenceAt(event);
    if (card || sentence) clearTimeout(leaving);
    if (sentence) lay(sentence);
    else if (!card && document.querySelector(".at-card:not([hidden]), .at-pointed")) {
      clearTimeout(leaving);
      leaving = setTimeout(() => lay(null), 200);
    }
  });
  document.addEventListener("focusin", (event) => {
    const sentence = sentenceAt(event);
    lay(sentence);
    if (sentence) document.querySelector(".at-card:not([hidden])")?.scrollIntoView({block: "nearest"});
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") lay(null);
    const sentence = sentenceAt(event);
    if (sentence && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      sentence.click();
    }
  });

  /* The address names the open conversation, so that a reload, or a bookmark, finds it again. */
  function address() {
    const mark = document.getElementById("at-thread-id");
    const url = new URL(location.href);
    if (mark && mark.dataset.thread) url.searchParams.set("conversation", mark.dataset.thread);
    else if (document.querySelector(".at-welcome")?.checkVisibility()) url.searchParams.delete("conversation");
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  }

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

  /* Boxes follow the server once it has answered; a box that was clicked keeps its own mind until then. */
  let picks = "";
  function tick() {
    const list = document.querySelector(".at-documents");
    if (!list || list.dataset.picks === picks) return;
    picks = list.dataset.picks;
    const chosen = new Set(picks.split(" "));
    for (const box of list.querySelectorAll(".at-pick")) box.checked = chosen.has(box.dataset.document);
  }

  /* What asks a question is answered where it asks: the keyboard goes to the safe answer. If the button that had
     it is gone, it goes to what has come into the same row. */
  const ASKED = {
    remove: ".at-confirm .at-quiet",
    forget: ".at-confirm .at-quiet",
    rename: "#at-rename-title :is(textarea, input)",
  };
  const ASKED_BY = {keep: "remove", stay: "forget"};
  let asked = null;
  let place = null;

  function identityOf(element) {
    return element.dataset.document ?? element.dataset.conversation;
  }

  function rows(list) {
    return [...list.querySelectorAll("li")].filter((row) => row.querySelector("button"));
  }

  document.addEventListener("focusin", (event) => {
    const list = event.target.closest("#at-documents, #at-conversations");
    const keys = event.target.matches(":focus-visible");
    if (!list || !keys) {
      place = null;
      return;
    }
    const row = rows(list).indexOf(event.target.closest("li"));
    place = {element: event.target, list, act: event.target.dataset.act, identity: identityOf(event.target), row};
  });

  function refocus() {
    const answer = asked && document.querySelector(asked);
    if (answer?.checkVisibility()) {
      asked = null;
      answer.focus();
    }
    if (!place || place.element.isConnected || document.activeElement !== document.body) return;
    const same = [...place.list.querySelectorAll(`[data-act="${place.act}"]`)].find(
      (each) => place.identity && identityOf(each) === place.identity);
    if (same) {
      same.focus({preventScroll: true});
      return;
    }
    const left = rows(place.list);
    const row = left[Math.min(place.row, left.length - 1)];
    (row?.querySelector(`[data-act="${ASKED_BY[place.act]}"]`) ?? row?.querySelector("button"))?.focus();
  }

  function refresh() {
    tick();
    follow();
    refocus();
    point();
    address();
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

  new MutationObserver(() => {
    unfold();  // at once: until the next frame a renewed sheet would be shut, and Escape would be lost
    requestAnimationFrame(refresh);
  }).observe(document.body, {
    childList: true,
    subtree: true,
    characterData: true,
    attributes: true,
    attributeFilter: ["data-key", "data-n", "data-thread", "data-picks"],
  });
})();
