// A table that becomes a list of cards where there is no room for columns. The roles are written
// out because such a layout would take them away.

import type { ComponentChildren } from "preact";

interface Rows {
  caption: string;
  columns: string[];
  /** The first cell of a row is its header. */
  rows: { key: string; cells: ComponentChildren[] }[];
}

export function Table({ caption, columns, rows }: Rows) {
  return (
    <table role="table" class="stacking">
      <caption class="visually-hidden">{caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map((name) => <th key={name} scope="col" role="columnheader">{name}</th>)}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {rows.map(({ key, cells: [first, ...rest] }) => (
          <tr key={key} role="row">
            <th scope="row" role="rowheader" data-column={columns[0]}>
              <div>{first}</div>
            </th>
            {rest.map((cell, index) => (
              <td key={index} role="cell" data-column={columns[index + 1]}>
                <div>{cell}</div>
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
