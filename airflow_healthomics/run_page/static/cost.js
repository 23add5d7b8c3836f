// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// What a run cost by list prices, with the inputs of that estimate.

import { h, setText, show } from "./dom.js";
import * as f from "./format.js";

const CENTS = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD" });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });

/** An amount of money, to the cent. */
export function usd(value) {
  if (value == null) return "–";
  return value > 0 && value < 0.005 ? `< ${CENTS.format(0.01)}` : CENTS.format(value);
}

const COLUMNS = ["Resource", "Tasks", "Amount", "List price", "Cost"];

/** The cells of an amount. Tasks use instances by the hour, and the run its storage by the GiB-hour. */
export function cellsOf({ resource, tasks, quantity, usdPerUnit, usd: cost }) {
  const unit = tasks == null ? "GiB hour" : "hour";
  const price = usdPerUnit == null ? "Not known" : `$${usdPerUnit} per ${unit}`;
  return [resource, f.number(tasks), quantity == null ? "Not known" : f.plural(Math.round(quantity * 100) / 100, unit), price, usd(cost)];
}

export class Cost {
  constructor() {
    this.sum = h("strong");
    this.rows = h("tbody");
    this.note = h("p", { class: "sub" });
    this.node = h("section", { class: "card", "aria-labelledby": "cost-title", "data-testid": "cost", hidden: true },
      h("h2", { id: "cost-title" }, "Estimated cost"),
      h("p", {}, this.sum),
      h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Inputs of the estimate, scrollable" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, COLUMNS.map((title) => h("th", { scope: "col" }, title)))), this.rows)),
      this.note);
  }

  update(cost) {
    show(this.node, Boolean(cost));
    const sign = JSON.stringify(cost);
    if (!cost || this.sign === sign) return;
    this.sign = sign;
    setText(this.sum, `${cost.isPartial ? "At least " : ""}${usd(cost.usd)}`);
    this.rows.replaceChildren(...cost.amounts.map((amount) => h("tr", {}, cellsOf(amount).map((cell) => h("td", {}, cell)))));
    const list = cost.priceListDate ? `AWS's price list of ${DATE.format(f.time(cost.priceListDate))}` : "AWS's price list";
    setText(this.note, `An estimate by ${list}, not a bill: without discounts, taxes, ephemeral storage, surcharges for old versions of Nextflow, and other services such as S3 and CloudWatch.`);
  }
}
