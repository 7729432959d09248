export default function Page() {
  return <p>An app</p>;
}
