declare module "jstat" {
  const jstat: { studentt: { cdf(t: number, degrees: number): number } };
  export default jstat;
}
