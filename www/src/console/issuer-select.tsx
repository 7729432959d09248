// A choice between this control plane and the registered issuers.

import { useId } from "preact/hooks";
import { visible } from "../shared/invisible";
import type { Issuers } from "./issuers-use";

interface Props {
  label: string;
  issuers: Issuers;
  /** An exact `iss`; empty for this control plane. */
  value: string;
  isWrong?: boolean;
  onChange(issuer: string): void;
}

export function IssuerSelect({ label, issuers, value, isWrong, onChange }: Props) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} aria-invalid={isWrong}
        onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">This control plane</option>
        {issuers.list.map(({ name, issuer }) => (
          <option key={name} value={issuer}>{name} ({visible(issuer)})</option>
        ))}
      </select>
    </div>
  );
}
