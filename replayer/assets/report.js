// Draws the curves of the page from #chart-data. No other file and no network is needed.
(() => {
  "use strict";
  const { runs, watched } = JSON.parse(document.getElementById("chart-data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const hidden = new Set();
  let plots = [];

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const runColor = (at) => color(`--run-${at % 6}`);

  const trimmed = (value, digits) => String(Number(value.toFixed(digits)));
  const formatMs = (ms) => {
    if (ms == null) return "–";
    if (ms === 0) return "0";
    if (ms < 1) return `${trimmed(ms * 1000, 0)} µs`;
    if (ms < 1000) return `${trimmed(ms, ms < 10 ? 1 : 0)} ms`;
    if (ms < 600000) return `${trimmed(ms / 1000, 1)} s`;
    return `${trimmed(ms / 60000, 1)} min`;
  };
  const formatCount = (count) => (count == null ? "–" : count.toLocaleString("en").replaceAll(",", "\u202f"));

  const formatSize = (bytes) => {
    if (bytes == null) return "–";
    const power = Math.min(Math.max(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), 0), 4);
    return `${trimmed(bytes / 1000 ** power, bytes < 1e4 ** power ? 1 : 0)} ${["B", "KB", "MB", "GB", "TB"][power]}`;
  };
  const formatNumber = (value) => (value == null ? "–" : Number.isInteger(value) ? formatCount(value) : trimmed(value, 2));
  const UNITS = {
    Count: formatNumber,
    Share: (share) => (share == null ? "–" : `${trimmed(share * 100, 1)} %`),
    Seconds: (s) => formatMs(s == null ? null : s * 1000),
    Bytes: formatSize,
    BytesPerS: (bytes) => `${formatSize(bytes)}/s`,
    PerS: (value) => `${formatNumber(value)}/s`,
  };

  // Percentiles run over 1/(1 − share): each tick to the right is ten times rarer.
  const TICKS = [[1, "0 %"], [2, "50 %"], [4, "75 %"], [10, "90 %"], [20, "95 %"], [100, "99 %"],
    [1000, "99.9 %"], [10000, "99.99 %"], [100000, "99.999 %"], [1000000, "99.9999 %"]];
  // The slowest of N samples is 1 in N; nothing is known beyond it.
  const rarity = (share, samples) => Math.min(share < 1 ? 1 / (1 - share) : Infinity, Math.max(samples, 2));
  const formatShare = (x) => (x == null ? "–" : `${trimmed(100 * (1 - 1 / x), x < 100 ? 1 : 3)} %`);

  const axis = (more) => ({
    stroke: color("--muted"), font: "12px system-ui, sans-serif",
    grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, gap: 6, ...more,
  });
  const series = (at, label, format, more) => ({
    label, stroke: runColor(at), width: 2, points: { show: false }, show: !hidden.has(at),
    value: (_, value) => format(value), runIndex: at, ...more,
  });

  // What the cursor points at stands beside the figure's name.
  const readout = (box) => (plot) => {
    const output = box.closest("figure").querySelector("output");
    const at = plot.cursor.idx;
    const values = plot.series.slice(1).map((one, index) => [one, nearest(plot, index + 1, at)]);
    const told = values.filter(([one, value]) => one.show && value != null).map(([one, value]) => `${one.label} ${one.value(plot, value)}`);
    output.textContent = at == null || !told.length ? "" : [plot.series[0].value(plot, plot.data[0][at]), ...told].join(" · ");
  };
  // Curves have points of their own; where one has none the last one before it counts.
  const nearest = (plot, series, at) => {
    if (at == null || !plot.series[series].spanGaps) return at == null ? null : plot.data[series][at];
    for (let index = at; index >= 0; index -= 1) {
      if (plot.data[series][index] != null) return plot.data[series][index];
    }
    return null;
  };

  const draw = (box, options, data) => {
    const width = Math.max(box.clientWidth, 240);
    const hooks = { setCursor: [readout(box)] };
    const plot = new uPlot({ width, legend: { show: false }, hooks, ...options }, data, box);
    plots.push({ box, plot });
  };

  // 1, 2, 5, 10, 20 … within a range, no more than fit.
  const roundSteps = (low, high) => {
    const steps = [];
    for (let decade = 10 ** Math.floor(Math.log10(low)); decade <= high; decade *= 10) {
      steps.push(...[1, 2, 5].map((digit) => digit * decade).filter((step) => step >= low && step <= high));
    }
    return steps.length > 9 ? steps.filter((step) => Math.abs(Math.log10(step) % 1) < 1e-9) : steps;
  };

  const percentileTable = (points, samples) => {
    const at = new Map(points.map(([share, ms]) => [rarity(share, samples), Math.max(ms, 0.001)]));
    return [[...at.keys()], [...at.values()]];
  };

  const drawPercentiles = (box) => {
    const kinds = [["latency", {}], ["service", { dash: [6, 4], width: 1.5 }]];
    const shown = runs.flatMap((run, at) => kinds.filter(([kind]) => run[kind].length).map(([kind, look]) => ({
      table: percentileTable(run[kind], run.samples), series: series(at, `${run.name} ${kind}`, formatMs, { ...look, spanGaps: true }),
    })));
    if (!shown.length) return empty(box, "No answers to draw");
    const narrow = box.clientWidth < 560;
    const far = Math.max(...shown.map(({ table }) => Math.max(...table[0])));
    const ticks = TICKS.filter(([x]) => x <= far && !(narrow && (x === 4 || x === 20)));
    draw(box, {
      height: narrow ? 300 : 340,
      scales: { x: { time: false, distr: 3, range: [1, far] }, y: { distr: 3, range: (_, low, high) => [low / 1.2, high * 1.2] } },
      axes: [
        axis({ size: 28, splits: () => ticks.map(([x]) => x), values: () => ticks.map(([, label]) => label), filter: (_, splits) => splits }),
        axis({
          size: 62, filter: (_, splits) => splits, splits: (_, __, low, high) => roundSteps(low, high),
          values: (_, splits) => splits.map(formatMs),
        }),
      ],
      series: [{ label: "share", value: (_, x) => formatShare(x) }, ...shown.map((one) => one.series)],
    }, uPlot.join(shown.map((one) => one.table), shown.map(() => [2, 2])));
  };

  const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7];

  // All charts of one clock show the same time: that of the runs and of what was seen beside them.
  const seconds = runs.flatMap((run) => (run.seconds.length ? [run.seconds[0], run.seconds.at(-1)] : []));
  const looks = watched.flatMap((one) => one.charts).filter((chart) => chart.at_s.length);
  const clock = [
    Math.min(0, ...seconds, ...looks.map((chart) => chart.at_s[0])),
    Math.max(1, ...seconds, ...looks.map((chart) => chart.at_s.at(-1))),
  ];
  const formatClock = (s) => (s == null ? "–" : `${trimmed(s, 1)} s`);
  const clockOptions = (format, more) => ({
    height: 210,
    cursor: { sync: { key: "seconds", setSeries: false } },
    scales: { x: { time: false, range: () => clock }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
    axes: [
      axis({ size: 28, values: (_, splits) => splits.map(formatClock) }),
      axis({ size: 62, values: (_, splits) => splits.map(format), ...more }),
    ],
  });

  const drawSeconds = (box, key) => {
    const format = key.includes("_ms_") ? formatMs : formatCount;
    const shown = runs.map((run, at) => ({ run, at })).filter(({ run }) => run.seconds.length);
    if (!shown.some(({ run }) => run[key].some((value) => value > 0))) {
      return empty(box, key === "failed" ? "None in any run" : "Nothing measured");
    }
    draw(box, {
      ...clockOptions(format, format === formatCount ? { incrs: WHOLE } : {}),
      series: [{ label: "at", value: (_, s) => formatClock(s) }, ...shown.map(({ run, at }) => series(at, run.name, format))],
    }, uPlot.join(shown.map(({ run }) => [run.seconds, run[key]])));
  };

  // What happened stands as dashed upright lines behind the curves.
  const drawEvents = (events) => (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = color("--muted");
    ctx.globalAlpha = 0.5;
    ctx.setLineDash([3 * devicePixelRatio, 4 * devicePixelRatio]);
    events.forEach((at) => {
      const x = Math.round(plot.valToPos(at, "x", true));
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    });
    ctx.restore();
  };

  const drawWatched = (box) => {
    const chart = watched[box.dataset.watched].charts[box.dataset.part];
    const format = UNITS[chart.unit];
    const lines = chart.lines.map((line, at) => ({
      label: line.name, stroke: runColor(at), width: 2, dash: at > 5 ? [6, 4] : undefined,
      points: { show: chart.at_s.length < 2 }, value: (_, value) => format(value),
    }));
    draw(box, {
      ...clockOptions(format, chart.unit === "Count" ? { incrs: WHOLE } : {}),
      hooks: { setCursor: [readout(box)], drawClear: [drawEvents(chart.marks_s)] },
      series: [{ label: "at", value: (_, s) => formatClock(s) }, ...lines],
    }, [chart.at_s, ...chart.lines.map((line) => line.values)]);
  };

  const empty = (box, text) => {
    const note = document.createElement("p");
    note.className = "empty";
    note.textContent = text;
    box.append(note);
  };

  const drawAll = () => {
    plots.forEach(({ plot }) => plot.destroy());
    plots = [];
    document.querySelectorAll("[data-chart]").forEach((box) => {
      box.replaceChildren();
      box.dataset.chart === "percentiles" ? drawPercentiles(box) : drawSeconds(box, box.dataset.chart);
    });
    document.querySelectorAll("[data-watched]").forEach((box) => {
      box.replaceChildren();
      drawWatched(box);
    });
  };

  const toggle = (button, at) => {
    hidden.has(at) ? hidden.delete(at) : hidden.add(at);
    button.setAttribute("aria-pressed", String(!hidden.has(at)));
    plots.forEach(({ plot }) => plot.series.forEach((one, index) => {
      if (one.runIndex === at) plot.setSeries(index, { show: !hidden.has(at) });
    }));
  };

  const addToggles = () => {
    if (runs.length < 2) return;
    const group = document.querySelector(".toggles");
    runs.forEach((run, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.innerHTML = `<i class="dot run-${at % 6}"></i>`;
      button.append(run.name);
      button.addEventListener("click", () => toggle(button, at));
      group.append(button);
    });
  };

  let width = document.body.clientWidth;
  const redrawWhenResized = () => {
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    drawAll();
  };

  addToggles();
  drawAll();
  dark.addEventListener("change", drawAll);
  addEventListener("resize", () => requestAnimationFrame(redrawWhenResized));
})();
