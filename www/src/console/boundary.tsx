import { Component, type ComponentChildren } from "preact";

/** Limits an error to one part of the page. */
export class Boundary extends Component<{ children?: ComponentChildren }, { hasFailed: boolean }> {
  override state = { hasFailed: false };

  static getDerivedStateFromError() {
    return { hasFailed: true };
  }

  override render() {
    if (!this.state.hasFailed) return this.props.children;
    return (
      <div class="notice bad" role="alert">
        <p class="tight"><strong>This part could not be shown.</strong> The rest works.</p>
        <button type="button" onClick={() => this.setState({ hasFailed: false })}>Try again</button>
      </div>
    );
  }
}
