// What the page can do beyond being read: a remembered dark mode, tables that sort, filter and copy,
// charts that tell their values, and the data as a file. Without this script everything is still
// there to be read. Nothing is loaded and nothing is sent.
(() => {
  "use strict";
  const root = document.documentElement;
  const all = (query, at = document) => Array.from(at.querySelectorAll(query));
  const make = (tag, attributes = {}, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  };

  // ---- dark mode: as the system wants it until the reader chooses
  const KEY = "pifi-probe-theme";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const remember = (theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // a browser that keeps nothing forgets the choice with the page
    }
  };
  try {
    const kept = localStorage.getItem(KEY);
    if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  } catch {
    // the system's wish stays
  }
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

  const theme = () => {
    const button = document.getElementById("theme");
    const show = () => button.setAttribute("aria-pressed", String(isDark()));
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      remember(root.dataset.theme);
      show();
    });
    system.addEventListener("change", show);
    show();
    button.hidden = false;
  };

  // ---- tables
  const say = (text) => {
    document.getElementById("status").textContent = text;
  };
  const ABSENT = "\u2013";
  const cells = (row) => Array.from(row.cells);
  const words = (row) => cells(row).map((cell) => cell.textContent);

  // the number that a cell begins with: "+0.6 [+0.2, +1.0]", "< 0.001", "25 000"
  const number = (text) => {
    const plain = text.replace(/[\s\u2009\u202f]/g, "").replace(/\u2212/g, "-");
    const found = plain.match(/^<?([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)/i);
    return found ? Number(found[1]) - (plain.startsWith("<") ? 1e-9 : 0) : NaN;
  };
  const collator = new Intl.Collator("en", { numeric: true });

  const order = (rows, column) => {
    const texts = new Map(rows.map((row) => [row, row.cells[column].textContent.trim()]));
    const values = new Map(rows.map((row) => [row, number(texts.get(row))]));
    const present = rows.filter((row) => texts.get(row) !== ABSENT && texts.get(row) !== "");
    const numeric = present.length > 0 && present.every((row) => !Number.isNaN(values.get(row)));
    const compare = numeric
      ? (a, b) => values.get(a) - values.get(b)
      : (a, b) => collator.compare(texts.get(a), texts.get(b));
    return { present, absent: rows.filter((row) => !present.includes(row)), compare };
  };

  const sortable = (table, original) => {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" }, head.textContent);
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const next = before === "ascending" ? "descending" : before === "descending" ? null : "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        const body = table.tBodies[0];
        if (next === null) {
          body.append(...original);
          say("Rows in their first order");
          return;
        }
        head.setAttribute("aria-sort", next);
        const { present, absent, compare } = order(original, column);
        present.sort((a, b) => (next === "ascending" ? compare(a, b) : compare(b, a)));
        // what has no value stands last either way
        body.append(...present, ...absent);
        say(`Sorted by ${button.textContent}, ${next}`);
      });
    });
  };

  const filter = (bar, rows, name) => {
    const field = make("input", { type: "search", placeholder: "Filter rows", "aria-label": `Filter rows of ${name}` });
    const count = make("span", { class: "count" });
    const show = () => {
      const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = words(row).join(" ").toLowerCase();
        row.hidden = !wanted.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = wanted.length ? `${shown} of ${rows.length} rows` : "";
      if (wanted.length) say(count.textContent);
    };
    field.addEventListener("input", show);
    bar.append(field, count);
  };

  // ---- copying: what is shown, in the order in which it is shown
  const shown = (table) => {
    const rows = Array.from(table.tBodies[0].rows).filter((row) => !row.hidden);
    const marked = (row) => row.classList.contains("marked");
    return {
      header: all("thead th", table).map((head) => head.textContent),
      texts: all("thead th.text", table).length,
      rows: rows.map((row) => ({ cells: words(row), marked: marked(row) })),
    };
  };
  const csv = ({ header, rows }) => {
    const field = (text) => {
      let plain = text.replace(/\u2212/g, "-").replace(/[\u2009\u202f]/g, "");
      // a name must not become a formula of a spreadsheet
      if (/^[=@\t\r]/.test(plain)) plain = `'${plain}`;
      return /[",\n\r]/.test(plain) ? `"${plain.replace(/"/g, '""')}"` : plain;
    };
    return [header, ...rows.map((row) => row.cells)].map((line) => `${line.map(field).join(",")}\n`).join("");
  };
  const markdown = ({ header, rows, texts }) => {
    const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
    const escaped = (text) =>
      text
        .replace(/[&<>]/g, (letter) => entities[letter])
        .replace(/[\\`*[\]|~]/g, "\\$&")
        .replace(/[\u0000-\u001f\u007f-\u009f]/g, " ");
    const line = (parts) => `| ${parts.join(" | ")} |\n`;
    const body = rows.map(({ cells: [first, ...rest], marked }) =>
      line([escaped(first) + (marked ? " \u25c6" : ""), ...rest.map(escaped)]),
    );
    return line(header.map(escaped)) + line(header.map((_, at) => (at < texts ? "---" : "---:"))) + body.join("");
  };
  const LATEX = {
    "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", $: "\\$", "&": "\\&", "#": "\\#", "%": "\\%", _: "\\_",
    "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "\\textless{}", ">": "\\textgreater{}",
    "|": "\\textbar{}", '"': "\\textquotedbl{}", "\u2212": "$-$", "\u2013": "--", "\u2014": "---",
    "\u2026": "\\ldots{}", "\u202f": "\\,", "\u2009": "\\,", "\u00a0": "~", "\u25c6": "$\\diamond$", "\u00d7": "$\\times$",
  };
  const latex = ({ header, rows, texts }) => {
    const escaped = (text) =>
      Array.from(text, (letter) => LATEX[letter] ?? (/[\u0000-\u001f\u007f-\u009f]/.test(letter) ? " " : letter)).join("");
    const line = (parts) => {
      const text = parts.join(" & ");
      // a bracket or star after a line's end would be read as the line end's argument
      return `${/^[[*]/.test(text) ? "{}" : ""}${text} \\\\\n`;
    };
    const columns = header.map((_, at) => (at < texts ? "l" : "r")).join("");
    const body = rows.map(({ cells, marked }) =>
      line(cells.map(escaped).map((cell, at) => (marked && at === 0 ? `\\textbf{${cell}}` : cell))),
    );
    return (
      `\\begin{tabular}{${columns}}\n\\toprule\n${line(header.map(escaped))}\\midrule\n${body.join("")}` +
      "\\bottomrule\n\\end{tabular}\n"
    );
  };

  const toClipboard = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // the older way, for browsers that do not trust pages from a disk
      const area = make("textarea", { class: "away", "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      const before = document.activeElement;
      area.select();
      let copied = false;
      try {
        copied = document.execCommand("copy");
      } catch {
        copied = false;
      }
      area.remove();
      before?.focus?.();
      return copied;
    }
  };
  const copies = (bar, table) => {
    const group = make("span", { class: "copies", role: "group", "aria-label": "Copy the table" }, "Copy as ");
    for (const [name, write] of [["CSV", csv], ["Markdown", markdown], ["LaTeX", latex]]) {
      const button = make("button", { type: "button" }, name);
      button.addEventListener("click", async () => {
        const copied = await toClipboard(write(shown(table)));
        say(copied ? `Copied as ${name}` : "The browser does not allow copying");
        button.textContent = copied ? "Copied" : "Refused";
        setTimeout(() => (button.textContent = name), 1500);
      });
      group.append(button);
    }
    bar.append(group);
  };

  const tables = () => {
    for (const place of all(".table")) {
      const table = place.querySelector("table");
      const rows = Array.from(table.tBodies[0].rows);
      const bar = make("div", { class: "bar" });
      const name = place.dataset.name;
      if (rows.length > 1) sortable(table, rows);
      if (rows.length > 3) filter(bar, rows, name);
      copies(bar, table);
      place.querySelector(".scroll").before(bar);
    }
  };

  // ---- charts: values at the pointer, under a finger, and by the keyboard
  const charts = () => {
    const tip = make("div", { id: "tip", role: "tooltip" });
    tip.hidden = true;
    document.body.append(tip);
    const hide = () => (tip.hidden = true);
    const show = (spot, x, y) => {
      tip.textContent = spot.getAttribute("aria-label");
      tip.hidden = false;
      const { width, height } = tip.getBoundingClientRect();
      const edge = 6;
      const left = x + 14 + width > root.clientWidth - edge ? x - 14 - width : x + 14;
      const top = y - height - 12 < edge ? y + 18 : y - height - 12;
      tip.style.left = `${Math.max(edge, Math.min(left, root.clientWidth - width - edge))}px`;
      tip.style.top = `${Math.max(edge, top)}px`;
    };
    const middle = (spot) => {
      const box = spot.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    };
    for (const svg of all("figure svg")) {
      const spots = all(".spot", svg);
      if (!spots.length) continue;
      svg.setAttribute("role", "group");
      spots.forEach((spot, at) => {
        const title = spot.querySelector("title");
        spot.setAttribute("aria-label", title.textContent);
        spot.setAttribute("role", "img");
        // one stop for the whole chart; arrows go on from there
        spot.setAttribute("tabindex", at === 0 ? "0" : "-1");
        title.remove();
      });
      const go = (to) => {
        for (const spot of spots) spot.setAttribute("tabindex", spot === to ? "0" : "-1");
        to.focus();
      };
      // the nearest spot in a row above (-1) or below (1)
      const vertical = (from, direction) => {
        const [x, y] = middle(from);
        const far = (spot) => {
          const [a, b] = middle(spot);
          return direction * (b - y) > 1 ? Math.abs(b - y) * 1e4 + Math.abs(a - x) : Infinity;
        };
        const best = spots.reduce((a, b) => (far(b) < far(a) ? b : a));
        return far(best) < Infinity ? best : from;
      };
      const at = (event) => event.target.closest?.(".spot");
      svg.addEventListener("pointermove", (event) => {
        const spot = at(event);
        if (spot) show(spot, event.clientX, event.clientY);
        else hide();
      });
      svg.addEventListener("pointerdown", (event) => {
        const spot = at(event);
        if (spot) show(spot, event.clientX, event.clientY);
      });
      svg.addEventListener("pointerleave", hide);
      svg.addEventListener("focusin", (event) => {
        const spot = at(event);
        if (spot && spot.matches(":focus-visible")) show(spot, ...middle(spot));
      });
      svg.addEventListener("focusout", hide);
      svg.addEventListener("keydown", (event) => {
        const spot = at(event);
        if (!spot) return;
        const index = spots.indexOf(spot);
        const to = {
          ArrowRight: () => spots[Math.min(index + 1, spots.length - 1)],
          ArrowLeft: () => spots[Math.max(index - 1, 0)],
          ArrowDown: () => vertical(spot, 1),
          ArrowUp: () => vertical(spot, -1),
          Home: () => spots[0],
          End: () => spots[spots.length - 1],
        }[event.key];
        if (to) {
          event.preventDefault();
          go(to());
        } else if (event.key === "Escape") hide();
      });
    }
    addEventListener("scroll", hide, { passive: true });
  };

  // ---- the data as a file
  const data = () => {
    const kept = document.getElementById("data");
    const link = document.getElementById("download");
    if (!kept || !link) return;
    link.href = URL.createObjectURL(new Blob([kept.textContent], { type: "application/json" }));
    link.hidden = false;
  };

  const start = () => {
    for (const part of [theme, tables, charts, data]) part();
    root.dataset.ready = "yes";
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
